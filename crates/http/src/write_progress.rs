//! How long each response of an HTTP/2 connection has waited for its client.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

/// How fast a client must read a response once the send timeout is over, in bytes a second.
pub(crate) const SLOWEST_READER: u64 = 16 << 10;

/// Since when one response waits for its client.
#[derive(Debug, Default)]
pub(crate) struct WriteProgress {
    /// Milliseconds of its connection's clock, plus one; 0 while the function has to write.
    since: AtomicU64,
    /// Bytes that the client has taken since then.
    taken: AtomicU64,
    /// Bytes that the protocol has and has not written.
    in_flight: AtomicU64,
    /// Whether the protocol asked for more and the function has nothing yet.
    is_starved: AtomicBool,
}

/// The responses of one connection that are under way.
#[derive(Debug, Default)]
pub(crate) struct PendingWrites(Mutex<HashMap<u64, Arc<WriteProgress>>>);

// === impl WriteProgress ===

impl WriteProgress {
    pub(crate) fn start(&self, now: u64) {
        if self.since.load(Ordering::Relaxed) == 0 {
            self.taken.store(0, Ordering::Relaxed);
            self.since.store(now + 1, Ordering::Relaxed);
        }
    }

    /// The protocol took bytes to write.
    pub(crate) fn handed_over(&self, bytes: usize, now: u64) {
        self.is_starved.store(false, Ordering::Relaxed);
        self.in_flight.fetch_add(bytes as u64, Ordering::Relaxed);
        self.start(now);
    }

    pub(crate) fn written(&self, bytes: usize) {
        self.taken.fetch_add(bytes as u64, Ordering::Relaxed);
        let left = self.in_flight.fetch_sub(bytes as u64, Ordering::Relaxed) - bytes as u64;
        if left == 0 && self.is_starved.load(Ordering::Relaxed) {
            self.since.store(0, Ordering::Relaxed);
        }
    }

    /// The protocol asked for more, and the function has nothing yet.
    pub(crate) fn starved(&self) {
        self.is_starved.store(true, Ordering::Relaxed);
        if self.in_flight.load(Ordering::Relaxed) == 0 {
            self.since.store(0, Ordering::Relaxed);
        }
    }
}

// === impl PendingWrites ===

impl PendingWrites {
    pub(crate) fn insert(&self, response: u64, progress: Arc<WriteProgress>) {
        self.0.lock().insert(response, progress);
    }

    pub(crate) fn remove(&self, response: u64) {
        self.0.lock().remove(&response);
    }

    /// The response that has waited longest for its client: since when, by the connection's clock, and how many bytes of it
    /// the client has taken meanwhile.
    pub(crate) fn longest(&self) -> Option<(u64, u64)> {
        let pending = self.0.lock();
        let waiting = pending.values().filter_map(|progress| {
            let since = progress.since.load(Ordering::Relaxed).checked_sub(1)?;
            Some((since, progress.taken.load(Ordering::Relaxed)))
        });
        waiting.min_by_key(|(since, taken)| since + taken * 1_000 / SLOWEST_READER)
    }
}
