//! What follows the end of a run that was accepted for later.
//!
//! A [follow-up](follow_ups) is decided when the run ends and committed with its end, so that neither is there without the other:
//! the run of a destination goes into the queue, and a callback waits for the [sender](sender), which tries it until it is
//! delivered or given up.

mod callback_retry;
mod follow_ups;
mod outbox;
mod report;
mod secrets;
mod sender;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faas_types::limits;
use tokio::sync::Notify;

pub use follow_ups::check_destinations;
pub(crate) use follow_ups::follow;
pub(crate) use outbox::Outbox;
pub use secrets::SigningSecrets;
pub(crate) use sender::run as send_callbacks;

/// How callbacks are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallbackPolicy {
    /// Attempts in all.
    pub attempts_max: u32,
    /// The pause before the second attempt is a random part of this; it doubles with each attempt.
    pub backoff: Duration,
}

/// What became of callbacks and destinations since the server started, for `/metrics`.
#[derive(Debug, Default)]
pub struct CompletionMetrics {
    delivered: AtomicU64,
    failed: AtomicU64,
    abandoned: AtomicU64,
    sent_on: AtomicU64,
    dropped: AtomicU64,
    /// There may be a callback to send.
    news: Notify,
}

// === impl CallbackPolicy ===

impl Default for CallbackPolicy {
    fn default() -> Self {
        Self { attempts_max: limits::CALLBACK_ATTEMPTS_DEFAULT, backoff: limits::CALLBACK_BACKOFF_DEFAULT }
    }
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

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
