//! Counts how instances were started.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faas_ports::{StartMetrics, StartPath};
use parking_lot::Mutex;

/// Counters since the start of the server.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    started: [AtomicU64; 3],
    parkings: AtomicU64,
    parking_us: AtomicU64,
    fallbacks: Mutex<BTreeMap<&'static str, u64>>,
}

// === impl Counters ===

impl Counters {
    pub(crate) fn started(&self, path: StartPath) {
        if let Some(index) = StartPath::ALL.iter().position(|one| *one == path) {
            self.started[index].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn parked(&self, took: Duration) {
        self.parkings.fetch_add(1, Ordering::Relaxed);
        self.parking_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A start had to take a longer path.
    pub(crate) fn fell_back(&self, reason: &'static str) {
        *self.fallbacks.lock().entry(reason).or_default() += 1;
    }

    /// All but what waits.
    pub(crate) fn metrics(&self) -> StartMetrics {
        StartMetrics {
            parked: Vec::new(),
            started: self.started.each_ref().map(|count| count.load(Ordering::Relaxed)),
            parkings: self.parkings.load(Ordering::Relaxed),
            parking_time: Duration::from_micros(self.parking_us.load(Ordering::Relaxed)),
            fallbacks: self.fallbacks.lock().iter().map(|(reason, count)| (*reason, *count)).collect(),
        }
    }
}
