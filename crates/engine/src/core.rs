//! What every part of the engine shares, and the pools it keeps.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use faas_artifacts::{BundleStore, UploadLeases};
use faas_ports::{
    Blobs, Callbacks, Clock, IdSource, Inspection, Launcher, Networks, Outbound, Registry, RunHistory, Vault,
};
use faas_scheduler::{PoolKey, PoolStatus, SchedulerDriver};
use faas_telemetry::{HistoryReader, Recorder, Stats};
use faas_types::{Code, Fault, FunctionSettings, Stage};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body_budget::BodyBudget;
use crate::catalog::Catalog;
use crate::dispatch::Dispatch;
use crate::engine::EngineSettings;
use crate::keys::Keys;
use crate::onward::{OnwardFigures, Outbox};
use crate::retention::Forgotten;
use crate::stages::StageBook;
use crate::topics::TopicHall;
use crate::triggers::{States, Triggers};
use crate::upload_rules::UploadRules;

/// What every part of the engine shares.
pub(crate) struct Core {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) history: Arc<dyn RunHistory>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) vault: Arc<dyn Vault>,
    pub(crate) callbacks: Arc<dyn Callbacks>,
    pub(crate) outbound: Arc<dyn Outbound>,
    pub(crate) networks: Arc<dyn Networks>,
    pub(crate) launcher: Arc<dyn Launcher>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) stages: Arc<StageBook>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) triggers: Arc<Triggers>,
    pub(crate) trigger_states: States,
    pub(crate) scheduler: Arc<SchedulerDriver>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) recorder: Recorder,
    pub(crate) history_reader: HistoryReader,
    pub(crate) forgotten: Forgotten,
    /// Files of versions and layers.
    pub(crate) bundles: Arc<BundleStore>,
    pub(crate) leases: Arc<UploadLeases>,
    pub(crate) dispatch: Dispatch,
    pub(crate) onward: OnwardFigures,
    pub(crate) outbox: Outbox,
    pub(crate) topics: TopicHall,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) stopping: AtomicBool,
    /// Another set of versions serves.
    pub(crate) kinds_changed: Notify,
    pub(crate) bodies: Arc<BodyBudget>,
    pub(crate) upload_rules: Arc<UploadRules>,
    /// Lets debuggers into instances.
    pub(crate) inspection: Option<Inspection>,
}

// === impl Core ===

impl Core {
    /// Keeps minimums and the time, until aborted.
    pub(crate) async fn tend(self: Arc<Self>, settings: EngineSettings) {
        for entry in self.catalog.all().into_iter().filter(|entry| entry.record.min_instances > 0) {
            self.keep_minimum(&entry).await;
        }
        let scheduler = Arc::clone(&self.scheduler);
        scheduler.run_timer(settings.tend_every, settings.idle_timeout, move |key| self.pool_status(key)).await;
    }

    /// Tells the launcher what kinds of instances may be wanted, until aborted.
    pub(crate) async fn foretell(self: Arc<Self>) {
        loop {
            self.launcher.anticipate(self.catalog.live_kinds());
            self.kinds_changed.notified().await;
        }
    }

    /// How long a call may take. One that a debugger may hold up is not to be killed for it.
    pub(crate) fn time_for_call(&self, settings: &FunctionSettings) -> Duration {
        if self.inspection.is_some() { Inspection::PATIENCE } else { settings.timeout.get() }
    }

    fn pool_status(&self, key: &PoolKey) -> PoolStatus {
        match self.catalog.all_by_id(key.function) {
            // A version that is not in memory had no call for long; whoever changed something has looked already.
            Some(entry) if self.is_current(&entry, key).unwrap_or(true) => {
                // Only `live` keeps instances without calls.
                let reaches = || entry.record.live().is_some_and(|live| live.reaches(key.version));
                if key.stage == Stage::Prod && reaches() { PoolStatus::Live } else { PoolStatus::Reachable }
            }
            _ => PoolStatus::Outdated,
        }
    }
}

pub(crate) fn encode<T: serde::Serialize>(value: &T) -> Result<Bytes, Fault> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|error| Fault::internal(format!("cannot encode a record: {error}")))
}

pub(crate) fn stopping() -> Fault {
    Fault::new(Code::Unavailable, "the server is stopping").with_retry_after(1)
}
