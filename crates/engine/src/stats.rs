//! Counters and durations of calls, for `/metrics` and for each function's own page.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faas_types::{Code, FunctionId, FunctionName};
use hdrhistogram::Histogram;
use parking_lot::{Mutex, RwLock};

/// The longest duration that a histogram tells apart, in microseconds.
const LONGEST_US: u64 = 20 * 60 * 1_000_000;

/// Counters of every function called since the server started.
#[derive(Default)]
pub struct Stats {
    functions: RwLock<HashMap<FunctionId, Arc<FunctionStats>>>,
    dropped_records: AtomicU64,
    dropped_logs: AtomicU64,
}

/// Counters of one function.
pub(crate) struct FunctionStats {
    name: FunctionName,
    in_flight: AtomicU64,
    cold_starts: AtomicU64,
    throttled: AtomicU64,
    errors: Mutex<HashMap<Code, u64>>,
    durations: Mutex<Histogram<u64>>,
    duration_sum_us: AtomicU64,
    invocations: AtomicU64,
}

/// One function's counters at one moment.
#[derive(Clone, Debug)]
pub struct FunctionSnapshot {
    /// The function's name.
    pub name: FunctionName,
    /// Calls that ended.
    pub invocations: u64,
    /// Calls that failed, by code.
    pub errors: Vec<(Code, u64)>,
    /// Calls that had to start an instance.
    pub cold_starts: u64,
    /// Calls refused for want of capacity.
    pub throttled: u64,
    /// Calls under way.
    pub in_flight: u64,
    /// Sum of the durations of ended calls, in microseconds.
    pub duration_sum_us: u64,
    /// Median, 95th and 99th percentile of durations in microseconds; `None` before the first call.
    pub quantiles_us: Option<[u64; 3]>,
    /// How many calls took at most so many microseconds, for each bound of [`Stats::BUCKETS_US`].
    pub buckets: Vec<u64>,
}

// === impl Stats ===

impl Stats {
    /// The bounds of the published duration histogram, in microseconds.
    pub const BUCKETS_US: [u64; 14] = [
        250,
        500,
        1_000,
        2_500,
        5_000,
        10_000,
        25_000,
        50_000,
        100_000,
        250_000,
        1_000_000,
        5_000_000,
        30_000_000,
        900_000_000,
    ];

    pub(crate) fn function(&self, id: FunctionId, name: &FunctionName) -> Arc<FunctionStats> {
        if let Some(stats) = self.functions.read().get(&id) {
            return Arc::clone(stats);
        }
        Arc::clone(self.functions.write().entry(id).or_insert_with(|| Arc::new(FunctionStats::new(name.clone()))))
    }

    pub(crate) fn forget(&self, id: FunctionId) {
        self.functions.write().remove(&id);
    }

    pub(crate) fn record_dropped(&self) {
        self.dropped_records.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn log_dropped(&self, lines: u64) {
        self.dropped_logs.fetch_add(lines, Ordering::Relaxed);
    }

    /// Run records lost because the history could not keep up.
    pub fn dropped_records(&self) -> u64 {
        self.dropped_records.load(Ordering::Relaxed)
    }

    /// Log lines lost because the history could not keep up.
    pub fn dropped_logs(&self) -> u64 {
        self.dropped_logs.load(Ordering::Relaxed)
    }

    /// One function's counters; `None` before its first call.
    pub fn snapshot(&self, id: FunctionId) -> Option<FunctionSnapshot> {
        self.functions.read().get(&id).map(|stats| stats.snapshot())
    }

    /// All counters, by function name.
    pub fn snapshots(&self) -> Vec<FunctionSnapshot> {
        let mut all: Vec<_> = self.functions.read().values().map(|stats| stats.snapshot()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

// === impl FunctionStats ===

impl FunctionStats {
    fn new(name: FunctionName) -> Self {
        Self {
            name,
            in_flight: AtomicU64::new(0),
            cold_starts: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            errors: Mutex::default(),
            durations: Mutex::new(
                Histogram::new_with_max(LONGEST_US, 2).expect("2 digits up to 20 minutes is a valid histogram"),
            ),
            duration_sum_us: AtomicU64::new(0),
            invocations: AtomicU64::new(0),
        }
    }

    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, took: Duration, cold: bool, code: Option<Code>) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.invocations.fetch_add(1, Ordering::Relaxed);
        self.cold_starts.fetch_add(u64::from(cold), Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).min(LONGEST_US);
        self.duration_sum_us.fetch_add(micros, Ordering::Relaxed);
        self.durations.lock().saturating_record(micros.max(1));
        if let Some(code) = code {
            *self.errors.lock().entry(code).or_default() += 1;
            self.throttled
                .fetch_add(u64::from(matches!(code, Code::Overloaded | Code::RateLimited)), Ordering::Relaxed);
        }
    }

    fn snapshot(&self) -> FunctionSnapshot {
        let durations = self.durations.lock();
        let quantiles = [0.5, 0.95, 0.99].map(|q| durations.value_at_quantile(q));
        let mut errors: Vec<_> = self.errors.lock().iter().map(|(code, count)| (*code, *count)).collect();
        errors.sort_unstable();
        FunctionSnapshot {
            name: self.name.clone(),
            invocations: self.invocations.load(Ordering::Relaxed),
            errors,
            cold_starts: self.cold_starts.load(Ordering::Relaxed),
            throttled: self.throttled.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            duration_sum_us: self.duration_sum_us.load(Ordering::Relaxed),
            quantiles_us: (!durations.is_empty()).then_some(quantiles),
            buckets: Stats::BUCKETS_US.iter().map(|bound| durations.count_between(0, *bound)).collect(),
        }
    }
}
