//! Bounds how many builds run at once and how many wait.

use std::sync::Arc;

use faas_types::{Code, Fault};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use faas_runs::lifecycle::stopping;

/// The most builds that wait.
const WAITING_MAX: usize = 32;
/// When to try again after the queue was full, in seconds.
const RETRY_S: u32 = 30;

/// Bounds builds.
pub(crate) struct BuildQueue {
    running: Arc<Semaphore>,
    /// Builds that run or wait.
    queued: Arc<Semaphore>,
}

/// Held while a build is under way.
pub(crate) struct BuildPermit {
    _running: OwnedSemaphorePermit,
    _queued: OwnedSemaphorePermit,
}

// === impl BuildQueue ===

impl BuildQueue {
    pub(crate) fn new(at_once: usize) -> Self {
        let running = Arc::new(Semaphore::new(at_once));
        Self { running, queued: Arc::new(Semaphore::new(at_once + WAITING_MAX)) }
    }

    /// Waits until a build may run; calls `waits` first if it has to wait.
    pub(crate) async fn enter(&self, stop: &CancellationToken, waits: impl FnOnce()) -> Result<BuildPermit, Fault> {
        let Ok(queued) = Arc::clone(&self.queued).try_acquire_owned() else {
            return Err(Fault::new(Code::Overloaded, "too many builds of packages wait already")
                .with_hint("deploy again later, or raise build.at_once of the server")
                .with_retry_after(RETRY_S));
        };
        if let Ok(running) = Arc::clone(&self.running).try_acquire_owned() {
            return Ok(BuildPermit { _running: running, _queued: queued });
        }
        waits();
        let running = tokio::select! {
            permit = Arc::clone(&self.running).acquire_owned() => permit.map_err(|_| stopping())?,
            () = stop.cancelled() => return Err(stopping()),
        };
        Ok(BuildPermit { _running: running, _queued: queued })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_finds_no_room_is_told_so() {
        let (queue, stop) = (Arc::new(BuildQueue::new(1)), CancellationToken::new());
        let first = queue.enter(&stop, || {}).await.expect("room");
        let waiting: Vec<_> = (0..WAITING_MAX)
            .map(|_| {
                let (queue, stop) = (Arc::clone(&queue), stop.clone());
                tokio::spawn(async move { queue.enter(&stop, || {}).await.map(drop) })
            })
            .collect();
        while queue.queued.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = queue.enter(&stop, || {}).await.err().expect("no room");
        assert_eq!((refused.code, refused.retry_after), (Code::Overloaded, Some(RETRY_S)));
        drop(first);
        for one in waiting {
            assert!(one.await.expect("ran").is_ok());
        }
    }
}
