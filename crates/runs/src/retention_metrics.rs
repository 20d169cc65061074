//! What retention has done.

use std::sync::atomic::{AtomicU64, Ordering};

use faas_ports::Expired;
use tokio::sync::Notify;

/// What retention has done since the server started, for `/metrics`.
#[derive(Debug, Default)]
pub struct RetentionMetrics {
    /// Runs that went.
    pub runs: AtomicU64,
    /// Runs whose results were looked through.
    pub results: AtomicU64,
    /// Log lines that went.
    pub lines: AtomicU64,
    /// Bytes that were given back to the file system.
    pub reclaimed: AtomicU64,
    /// Bytes of log lines that are kept, at the last look.
    pub log_bytes: AtomicU64,
    /// Ends the wait for the next look.
    pub(crate) wake: Notify,
}

// === impl RetentionMetrics ===

impl RetentionMetrics {
    pub(crate) fn add(&self, done: &Expired) {
        self.runs.fetch_add(done.runs, Ordering::Relaxed);
        self.results.fetch_add(done.results, Ordering::Relaxed);
        self.lines.fetch_add(done.lines, Ordering::Relaxed);
        self.reclaimed.fetch_add(done.reclaimed, Ordering::Relaxed);
    }
}
