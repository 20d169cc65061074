//! The tasks of runs: how they start, what they tend, how they end.

use std::sync::Arc;
use std::time::Duration;

use faas_scheduler::{PoolKey, PoolStatus};
use faas_types::Stage;
use tokio::task::JoinHandle;

use crate::background;
use crate::completion::send_callbacks;
use crate::dispatch::Feeds;
use crate::runs::{RunSettings, Runs};

/// How long the ends of runs may take to be stored once nothing runs any more.
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);

// === impl Runs ===

impl Runs {
    /// Starts the background tasks. Those returned end when they are aborted, the others when the server stops.
    pub fn start(self: &Arc<Self>, feeds: Feeds, settings: &RunSettings) -> [JoinHandle<()>; 2] {
        let background = background::start(self, feeds);
        self.lifecycle.spawn(Arc::clone(self).forget());
        self.lifecycle.spawn(send_callbacks(Arc::clone(self), settings.callbacks));
        background
    }

    /// Waits until the ends of runs are stored, for a bounded time.
    pub async fn flush(&self) {
        self.dispatch.flush(SETTLE_PATIENCE).await;
        self.recorder.stop().await;
    }

    /// Keeps minimums and the time, until aborted.
    pub async fn tend(self: Arc<Self>, every: Duration, idle_timeout: Duration) {
        for entry in self.catalog.all().into_iter().filter(|entry| entry.record.min_instances > 0) {
            self.keep_minimum(&entry).await;
        }
        let scheduler = Arc::clone(&self.scheduler);
        scheduler.run_timer(every, idle_timeout, move |key| self.pool_status(key)).await;
    }

    fn pool_status(&self, key: &PoolKey) -> PoolStatus {
        match self.catalog.any_by_id(key.function) {
            // A version that is not in memory had no call for long, and each change looks at the pools itself.
            Some(entry) if self.is_current(&entry, key).unwrap_or(true) => {
                // Only `live` keeps instances without calls.
                let reaches = || entry.record.live().is_some_and(|live| live.reaches(key.version));
                if key.stage == Stage::Prod && reaches() { PoolStatus::Live } else { PoolStatus::Reachable }
            }
            _ => PoolStatus::Outdated,
        }
    }
}
