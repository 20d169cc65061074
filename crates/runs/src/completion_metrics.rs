//! What became of callbacks and destinations.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// What became of callbacks and destinations since the server started, for `/metrics`.
#[derive(Debug, Default)]
pub struct CompletionMetrics {
    pub(crate) delivered: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) abandoned: AtomicU64,
    pub(crate) sent_on: AtomicU64,
    pub(crate) dropped: AtomicU64,
    /// There may be a callback to send.
    pub(crate) news: Notify,
}

// === impl CompletionMetrics ===

impl CompletionMetrics {
    /// Attempts of callbacks, by outcome.
    #[must_use]
    pub fn callbacks(&self) -> [(&'static str, u64); 3] {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [("delivered", count(&self.delivered)), ("failed", count(&self.failed)), ("abandoned", count(&self.abandoned))]
    }

    /// Ends of runs whose function names a destination, by outcome.
    #[must_use]
    pub fn destinations(&self) -> [(&'static str, u64); 2] {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [("sent", count(&self.sent_on)), ("dropped", count(&self.dropped))]
    }

    /// There may be a callback to send.
    pub(crate) fn wake(&self) {
        self.news.notify_one();
    }
}

/// Counts one.
pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
