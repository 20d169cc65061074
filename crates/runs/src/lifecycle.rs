//! Tasks of the engine and the signal that ends them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faas_types::{Code, Fault};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;

/// The tasks that all services share, and whether the server stops. A stop waits for every task that was spawned here.
#[derive(Debug, Default)]
pub struct Lifecycle {
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Read by every call, where the token would take a lock.
    stopping: AtomicBool,
}

// === impl Lifecycle ===

impl Lifecycle {
    /// Starts a task that a stop waits for.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// The tasks, for a service that spawns its own.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Cancelled when the stop begins.
    pub fn token(&self) -> &CancellationToken {
        &self.stop
    }

    /// Completes when the stop begins.
    pub fn stopped(&self) -> WaitForCancellationFuture<'_> {
        self.stop.cancelled()
    }

    /// Whether the engine takes no more work.
    #[inline]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Begins the stop: new work is refused, background tasks end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.stop.cancel();
        self.tasks.close();
    }

    /// Waits until every task has ended; false when `patience` is over before.
    pub async fn drained(&self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.tasks.wait()).await.is_ok()
    }
}

/// Refuses work while the server stops.
pub fn stopping() -> Fault {
    Fault::new(Code::Unavailable, "the server is stopping").with_retry_after(1)
}
