//! Counters and durations of calls, for `/metrics` and for the page of each function.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faas_ports::{NetworkCounters, NetworkUsage};
use faas_types::{Code, FunctionId, FunctionName};
use hdrhistogram::Histogram;
use parking_lot::{Mutex, RwLock};

use crate::canary_stats::CanaryStats;
use crate::metrics::{CacheOutcome, CallSample, Metrics, MetricsSnapshot};

/// The longest duration that a histogram distinguishes, in microseconds.
const LONGEST_US: u64 = 20 * 60 * 1_000_000;

/// Counters of every function that was called since the server started.
pub struct Stats {
    functions: RwLock<Called>,
    /// How many functions are published by name.
    labels_max: usize,
    /// Shared by the other functions.
    others: Arc<Metrics>,
    dropped_records: AtomicU64,
    dropped_logs: AtomicU64,
}

/// The functions that were called.
#[derive(Default)]
struct Called {
    by_id: HashMap<FunctionId, Arc<FunctionStats>>,
    labelled: usize,
}

/// Counters of one function.
pub struct FunctionStats {
    name: FunctionName,
    published: Arc<Metrics>,
    /// Whether `published` counts this function alone.
    is_labelled: bool,
    in_flight: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
    cold_starts: AtomicU64,
    throttled: AtomicU64,
    durations: Mutex<Histogram<u64>>,
    duration_sum_us: AtomicU64,
    network: Arc<NetworkCounters>,
    /// Counts of its canary.
    pub canary: CanaryStats,
}

/// The counters of one function at one moment.
#[derive(Clone, Debug)]
pub struct FunctionSnapshot {
    /// Calls that ended.
    pub invocations: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Calls that waited for an instance to start.
    pub cold_starts: u64,
    /// Calls refused for lack of capacity.
    pub throttled: u64,
    /// Calls under way.
    pub in_flight: u64,
    /// What its instances did with their network.
    pub network: NetworkUsage,
    /// Sum of the durations of ended calls, in microseconds.
    pub duration_sum_us: u64,
    /// Median, 95th and 99th percentile of durations in microseconds; `None` before the first call.
    pub quantiles_us: Option<[u64; 3]>,
}

// === impl Stats ===

impl Stats {
    /// Publishes counters of at most `labels_max` functions by name, those that were called first. A function keeps its
    /// label until it is deleted: counters that moved between labels would look like restarts.
    #[must_use]
    pub fn new(labels_max: usize) -> Self {
        Self {
            functions: RwLock::default(),
            labels_max,
            others: Arc::new(Metrics::new()),
            dropped_records: AtomicU64::new(0),
            dropped_logs: AtomicU64::new(0),
        }
    }

    /// The counters of a function.
    pub fn function(&self, id: FunctionId, name: &FunctionName) -> Arc<FunctionStats> {
        if let Some(stats) = self.functions.read().by_id.get(&id) {
            return Arc::clone(stats);
        }
        let mut functions = self.functions.write();
        if let Some(stats) = functions.by_id.get(&id) {
            return Arc::clone(stats);
        }
        let own = (functions.labelled < self.labels_max).then(|| Arc::new(Metrics::new()));
        functions.labelled += usize::from(own.is_some());
        let stats = Arc::new(FunctionStats::new(name.clone(), own, &self.others));
        functions.by_id.insert(id, Arc::clone(&stats));
        stats
    }

    /// Drops the counters of a function that was deleted.
    pub fn forget(&self, id: FunctionId) {
        let mut functions = self.functions.write();
        let was_labelled = functions.by_id.remove(&id).is_some_and(|stats| stats.is_labelled);
        functions.labelled -= usize::from(was_labelled);
    }

    /// Counts what the response cache did with a request for a function.
    pub fn cache_answered(&self, id: FunctionId, name: &FunctionName, outcome: CacheOutcome) {
        self.function(id, name).published.cache_answered(outcome);
    }

    /// What the instances of a function did with their network.
    pub fn network_of(&self, id: FunctionId) -> NetworkUsage {
        self.functions.read().by_id.get(&id).map_or_else(NetworkUsage::default, |stats| stats.network.usage())
    }

    pub(crate) fn record_dropped(&self) {
        self.dropped_records.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts log lines that were not kept.
    pub fn log_dropped(&self, lines: u64) {
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

    /// The counters of one function; `None` before its first call.
    pub fn snapshot(&self, id: FunctionId) -> Option<FunctionSnapshot> {
        self.functions.read().by_id.get(&id).map(|stats| stats.snapshot())
    }

    /// All published counters, by function name; the functions that share a label come last.
    pub fn published(&self) -> Vec<MetricsSnapshot> {
        let functions = self.functions.read();
        let labelled = functions.by_id.values().filter(|stats| stats.is_labelled);
        let mut all: Vec<_> = labelled.map(|stats| stats.published.snapshot(Some(stats.name.clone()))).collect();
        all.sort_by(|a, b| a.function.cmp(&b.function));
        if functions.labelled >= self.labels_max {
            all.push(self.others.snapshot(None));
        }
        all
    }
}

// === impl FunctionStats ===

impl FunctionStats {
    fn new(name: FunctionName, own: Option<Arc<Metrics>>, others: &Arc<Metrics>) -> Self {
        let is_labelled = own.is_some();
        let published = own.unwrap_or_else(|| Arc::clone(others));
        Self {
            name,
            is_labelled,
            network: Arc::new(NetworkCounters::within(Arc::clone(&published.network))),
            published,
            in_flight: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            cold_starts: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            durations: Mutex::new(
                Histogram::new_with_max(LONGEST_US, 2).expect("2 digits up to 20 minutes is a valid histogram"),
            ),
            duration_sum_us: AtomicU64::new(0),
            canary: CanaryStats::default(),
        }
    }

    /// The counters for the network of its instances.
    pub fn network(&self) -> Arc<NetworkCounters> {
        Arc::clone(&self.network)
    }

    /// A call begins.
    #[inline]
    pub fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.published.begin();
    }

    /// A call has ended.
    pub fn end(&self, call: &CallSample) {
        self.published.end(call);
        self.canary.count(call.canary, call.code);
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.ended.fetch_add(1, Ordering::Relaxed);
        if call.cold {
            self.cold_starts.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(code) = call.code {
            self.failed.fetch_add(1, Ordering::Relaxed);
            let throttled = matches!(code, Code::Overloaded | Code::RateLimited);
            self.throttled.fetch_add(u64::from(throttled), Ordering::Relaxed);
        }
        let micros = u64::try_from(call.took.as_micros()).unwrap_or(u64::MAX).min(LONGEST_US);
        self.duration_sum_us.fetch_add(micros, Ordering::Relaxed);
        self.durations.lock().saturating_record(micros.max(1));
    }

    /// An instance has become ready.
    pub fn started(&self, took: Duration) {
        self.published.started(took);
    }

    fn snapshot(&self) -> FunctionSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let durations = self.durations.lock();
        let quantiles = [0.5, 0.95, 0.99].map(|q| durations.value_at_quantile(q));
        FunctionSnapshot {
            invocations: read(&self.ended),
            errors: read(&self.failed),
            cold_starts: read(&self.cold_starts),
            throttled: read(&self.throttled),
            in_flight: read(&self.in_flight),
            network: self.network.usage(),
            duration_sum_us: read(&self.duration_sum_us),
            quantiles_us: (!durations.is_empty()).then_some(quantiles),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(stats: &FunctionStats, count: usize) {
        for _ in 0..count {
            stats.begin();
            stats.end(&CallSample::default());
        }
    }

    #[test]
    fn functions_beyond_the_labels_share_one() {
        let stats = Stats::new(2);
        for (number, name) in ["b", "a", "c", "d"].into_iter().enumerate() {
            let id = FunctionId::from_u128(number as u128);
            ended(&stats.function(id, &name.parse().expect("a name")), number + 1);
        }
        let told = |stats: &Stats| -> Vec<(String, u64)> {
            let label = |function: Option<FunctionName>| function.map_or("others".to_owned(), |name| name.to_string());
            stats.published().into_iter().map(|metrics| (label(metrics.function), metrics.succeeded)).collect()
        };
        assert_eq!(told(&stats), [("a".into(), 2), ("b".into(), 1), ("others".into(), 7)]);
        let own = stats.snapshot(FunctionId::from_u128(3)).expect("it was called");
        assert_eq!(own.invocations, 4, "its own page counts it alone");

        // A deleted function leaves its label to the next newcomer, not to one that was counted elsewhere.
        stats.forget(FunctionId::from_u128(0));
        ended(&stats.function(FunctionId::from_u128(9), &"e".parse().expect("a name")), 1);
        ended(&stats.function(FunctionId::from_u128(2), &"c".parse().expect("a name")), 1);
        assert_eq!(told(&stats), [("a".into(), 2), ("e".into(), 1), ("others".into(), 8)]);
    }
}
