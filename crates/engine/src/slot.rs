//! One live instance in its pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use faas_ports::{Instance, LaunchTimings};
use parking_lot::Mutex;

use crate::meter::Meter;
use crate::readiness::Readiness;

/// An instance with what the pool knows of it.
pub(crate) struct Slot {
    /// The instance.
    pub instance: Arc<dyn Instance>,
    /// When and how it became ready.
    pub readiness: Readiness,
    /// Calls under way.
    in_flight: AtomicU32,
    /// Set once it must not take calls any more.
    retired: AtomicBool,
    /// When the last call ended.
    idle_since: Mutex<Instant>,
    /// What it has used, by call.
    pub meter: Meter,
}

// === impl Slot ===

impl Slot {
    /// An instance that is ready now.
    pub(crate) fn new(instance: Arc<dyn Instance>, timings: LaunchTimings) -> Self {
        Self {
            instance,
            readiness: Readiness { at: Instant::now(), timings },
            in_flight: AtomicU32::new(0),
            retired: AtomicBool::new(false),
            idle_since: Mutex::new(Instant::now()),
            meter: Meter::default(),
        }
    }

    /// Calls it can take now. Only meaningful under the pool's lock.
    pub(crate) fn free(&self) -> u32 {
        if self.is_retired() {
            return 0;
        }
        self.instance.concurrency().saturating_sub(self.in_flight.load(Ordering::Relaxed))
    }

    /// Counts a call in. Under the pool's lock, after `free() > 0`.
    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a call out.
    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        *self.idle_since.lock() = Instant::now();
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Takes it out of service; returns whether this call did so.
    pub(crate) fn retire(&self) -> bool {
        !self.retired.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    pub(crate) fn idle_since(&self) -> Instant {
        *self.idle_since.lock()
    }
}
