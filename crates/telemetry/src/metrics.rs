//! The counters that `/metrics` publishes for one function, or for all functions that share a label.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faas_ports::{NetworkCounters, NetworkUsage};
use faas_types::{Code, FunctionName};

use crate::canary_stats::CanarySample;
use crate::histogram::{Histogram, HistogramSnapshot};

/// Bounds of durations in microseconds: 50 µs to 15 min.
const DURATIONS_US: &[u64] = &[
    50,
    100,
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
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    900_000_000,
];
/// Bounds of memory in bytes: 16 MB to 4 GB.
const MEMORY_BYTES: &[u64] =
    &[16 << 20, 32 << 20, 64 << 20, 128 << 20, 256 << 20, 512 << 20, 1 << 30, 2 << 30, 4 << 30];

/// What is counted of a call that ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallSample {
    /// Time since acceptance.
    pub took: Duration,
    /// Whether it waited for its instance to start.
    pub cold: bool,
    /// Why it failed.
    pub code: Option<Code>,
    /// The peak of its sandbox's memory, in bytes.
    pub memory: Option<u64>,
    /// CPU time that it used, in microseconds.
    pub cpu_us: Option<u64>,
    /// Log lines that were dropped.
    pub cut_log_lines: u64,
    /// What a canary of its version is judged by.
    pub canary: CanarySample,
}

/// What the response cache of a function did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheOutcome {
    /// A cached response was sent; nothing ran.
    Hit,
    /// The function ran, and its response is cacheable.
    Miss,
    /// The function confirmed that a stale cached response is still valid.
    Revalidated,
    /// The request or its response is not cacheable.
    Bypass,
}

/// Counters that many threads write without a lock.
#[derive(Debug)]
pub(crate) struct Metrics {
    in_flight: AtomicU64,
    succeeded: AtomicU64,
    cold_starts: AtomicU64,
    cut_log_lines: AtomicU64,
    errors: [AtomicU64; Code::ALL.len()],
    cache: [AtomicU64; CacheOutcome::ALL.len()],
    durations: Histogram,
    starts: Histogram,
    memory: Histogram,
    cpu: Histogram,
    pub(crate) network: Arc<NetworkCounters>,
}

/// The counters at one moment.
#[derive(Clone, Debug)]
pub struct MetricsSnapshot {
    /// The function; `None` for the functions that share a label.
    pub function: Option<FunctionName>,
    /// Calls under way.
    pub in_flight: u64,
    /// Calls that succeeded.
    pub succeeded: u64,
    /// Calls that waited for an instance to start.
    pub cold_starts: u64,
    /// Log lines dropped at the limit of their runs.
    pub cut_log_lines: u64,
    /// Calls that failed, by code; only codes that occurred.
    pub errors: Vec<(Code, u64)>,
    /// Requests by what the response cache did with them; only outcomes that occurred.
    pub cache: Vec<(CacheOutcome, u64)>,
    /// Microseconds from acceptance to the end of a call.
    pub durations: HistogramSnapshot,
    /// Microseconds that instances took to start.
    pub starts: HistogramSnapshot,
    /// Peaks of memory in bytes.
    pub memory: HistogramSnapshot,
    /// CPU microseconds of each call.
    pub cpu: HistogramSnapshot,
    /// What instances did with their network.
    pub network: NetworkUsage,
}

// === impl CacheOutcome ===

impl CacheOutcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Hit, Self::Miss, Self::Revalidated, Self::Bypass];

    /// Its name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Revalidated => "revalidated",
            Self::Bypass => "bypass",
        }
    }
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            in_flight: zero(),
            succeeded: zero(),
            cold_starts: zero(),
            cut_log_lines: zero(),
            errors: std::array::from_fn(|_| zero()),
            cache: std::array::from_fn(|_| zero()),
            durations: Histogram::new(DURATIONS_US),
            starts: Histogram::new(DURATIONS_US),
            memory: Histogram::new(MEMORY_BYTES),
            cpu: Histogram::new(DURATIONS_US),
            network: Arc::default(),
        }
    }

    #[inline]
    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, call: &CallSample) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        match call.code {
            None => &self.succeeded,
            Some(code) => &self.errors[code as usize],
        }
        .fetch_add(1, Ordering::Relaxed);
        if call.cold {
            self.cold_starts.fetch_add(1, Ordering::Relaxed);
        }
        if call.cut_log_lines > 0 {
            self.cut_log_lines.fetch_add(call.cut_log_lines, Ordering::Relaxed);
        }
        self.durations.record(micros(call.took));
        call.memory.into_iter().for_each(|bytes| self.memory.record(bytes));
        call.cpu_us.into_iter().for_each(|time| self.cpu.record(time));
    }

    pub(crate) fn started(&self, took: Duration) {
        self.starts.record(micros(took));
    }

    pub(crate) fn cache_answered(&self, outcome: CacheOutcome) {
        self.cache[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self, function: Option<FunctionName>) -> MetricsSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let codes = Code::ALL.iter().map(|code| (*code, read(&self.errors[*code as usize])));
        let outcomes = CacheOutcome::ALL.into_iter().map(|outcome| (outcome, read(&self.cache[outcome as usize])));
        MetricsSnapshot {
            function,
            in_flight: read(&self.in_flight),
            succeeded: read(&self.succeeded),
            cold_starts: read(&self.cold_starts),
            cut_log_lines: read(&self.cut_log_lines),
            errors: codes.filter(|(_, count)| *count > 0).collect(),
            cache: outcomes.filter(|(_, count)| *count > 0).collect(),
            durations: self.durations.snapshot(),
            starts: self.starts.snapshot(),
            memory: self.memory.snapshot(),
            cpu: self.cpu.snapshot(),
            network: self.network.usage(),
        }
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
