//! Callers that wait for a run's end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use faas_types::RunId;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Callers that wait for a run's end.
#[derive(Default)]
pub(crate) struct Waiters {
    runs: Mutex<HashMap<RunId, Vec<oneshot::Sender<()>>>>,
    /// Lets the committer pass without the lock while no caller waits.
    count: AtomicUsize,
}

// === impl Waiters ===

impl Waiters {
    /// Tells of a run's next change of state after this call. Given up when dropped.
    pub(crate) fn wait(&self, run: RunId) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut runs = self.runs.lock();
        // Waiters that went away make room for new ones.
        let waiting = runs.entry(run).or_default();
        waiting.retain(|waiter| !waiter.is_closed());
        waiting.push(sender);
        self.count.store(runs.len(), Ordering::Release);
        receiver
    }

    /// A run has changed its state.
    pub(crate) fn wake(&self, run: RunId) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut runs = self.runs.lock();
        for waiter in runs.remove(&run).unwrap_or_default() {
            // It may have gone.
            let _ = waiter.send(());
        }
        self.count.store(runs.len(), Ordering::Release);
    }

    /// Forgets those that went away.
    pub(crate) fn sweep(&self) {
        let mut runs = self.runs.lock();
        runs.retain(|_, waiting| {
            waiting.retain(|waiter| !waiter.is_closed());
            !waiting.is_empty()
        });
        self.count.store(runs.len(), Ordering::Release);
    }
}
