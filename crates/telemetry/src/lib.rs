//! What is kept and counted of runs: records and log lines on their way to the history, metrics, and the readers of both.
//!
//! Nothing here blocks a call. Counters are atomics, and records leave through a bounded queue to a thread that stores
//! them in batches.

mod canary_stats;
mod histogram;
mod history_reader;
mod log_quota;
mod metrics;
mod recorder;
mod redactor;
mod stats;

pub use canary_stats::{CanarySample, CanaryStats};
pub use histogram::HistogramSnapshot;
pub use history_reader::{HistoryReader, LogTail};
pub use metrics::{CacheOutcome, CallSample, MetricsSnapshot};
pub use recorder::Recorder;
pub use redactor::Redactor;
pub use stats::{FunctionSnapshot, FunctionStats, Stats};
