//! Runs: calls, background runs, their retries, history and callbacks.

use std::sync::Arc;
use std::time::Duration;

use faas_artifacts::{BundleStore, UploadLeases};
use faas_catalog::{Catalog, VarStore};
use faas_ports::{
    Blobs, Callbacks, Claims, Clock, DeadLetters, IdSource, Inspection, Outbound, PortResult, Registry, RunHistory,
    RunQueue, Vault,
};
use faas_scheduler::SchedulerDriver;
use faas_telemetry::{HistoryReader, Recorder, Stats};
use faas_types::{FunctionId, FunctionSettings, Retention};

use crate::body_budget::BodyBudget;
use crate::callback_policy::CallbackPolicy;
use crate::completion_metrics::CompletionMetrics;
use crate::dispatch::{Dispatch, Feeds};
use crate::hooks::Hooks;
use crate::lifecycle::Lifecycle;
use crate::outbox::Outbox;
use crate::quotas::Quotas;
use crate::retention_metrics::RetentionMetrics;

/// Ports and lower services that runs need.
#[expect(missing_docs, reason = "each field is the port or service of its type")]
pub struct RunDeps {
    pub registry: Arc<dyn Registry>,
    pub history: Arc<dyn RunHistory>,
    pub queue: Arc<dyn RunQueue>,
    pub dead_letters: Arc<dyn DeadLetters>,
    pub claims: Arc<dyn Claims>,
    pub callbacks: Arc<dyn Callbacks>,
    pub blobs: Arc<dyn Blobs>,
    pub vault: Arc<dyn Vault>,
    pub outbound: Arc<dyn Outbound>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdSource>,
    pub catalog: Arc<Catalog>,
    pub vars: Arc<VarStore>,
    pub scheduler: Arc<SchedulerDriver>,
    pub stats: Arc<Stats>,
    pub recorder: Recorder,
    pub history_reader: HistoryReader,
    pub bundles: Arc<BundleStore>,
    pub leases: Arc<UploadLeases>,
    pub lifecycle: Arc<Lifecycle>,
}

/// How runs are kept and tried.
#[derive(Clone, Debug)]
pub struct RunSettings {
    /// How long a leased run stays this server's without a heartbeat.
    pub lease: Duration,
    /// How much callers can make the server keep.
    pub quotas: Quotas,
    /// How callbacks are tried again.
    pub callbacks: CallbackPolicy,
    /// How long the history of a project without settings is kept.
    pub retention: Retention,
    /// Lets debuggers into instances, and gives calls the time for it.
    pub inspection: Option<Inspection>,
}

/// Takes calls and background runs to their end, and answers questions about them.
pub struct Runs {
    pub(crate) registry: Arc<dyn Registry>,
    /// Ended runs.
    pub history: Arc<dyn RunHistory>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) vault: Arc<dyn Vault>,
    pub(crate) callbacks: Arc<dyn Callbacks>,
    pub(crate) outbound: Arc<dyn Outbound>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) vars: Arc<VarStore>,
    pub(crate) scheduler: Arc<SchedulerDriver>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) recorder: Recorder,
    /// Reads the history and the log of runs.
    pub history_reader: HistoryReader,
    pub(crate) bundles: Arc<BundleStore>,
    pub(crate) leases: Arc<UploadLeases>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    /// The queues of background runs.
    pub dispatch: Dispatch,
    pub(crate) completion_metrics: CompletionMetrics,
    pub(crate) outbox: Outbox,
    pub(crate) retention_metrics: RetentionMetrics,
    /// Memory for bodies that are held for calls.
    pub bodies: Arc<BodyBudget>,
    /// The services above that runs ask.
    pub hooks: Hooks,
    pub(crate) inspection: Option<Inspection>,
    pub(crate) retention_default: Retention,
}

// === impl Runs ===

impl Runs {
    /// Reads how much waits already. Nothing runs before [`Runs::start`].
    pub async fn open(deps: RunDeps, settings: &RunSettings) -> PortResult<(Arc<Self>, Feeds)> {
        let depths = deps.queue.depths().await?;
        let outbox = Outbox::new(&deps.callbacks.callback_depths().await?, &depths, settings.quotas.callbacks);
        let (queue, letters, claims) = (deps.queue, deps.dead_letters, deps.claims);
        let (dispatch, feeds) = Dispatch::open(queue, letters, claims, settings.lease, settings.quotas, &depths);
        let runs = Self {
            registry: deps.registry,
            history: deps.history,
            blobs: deps.blobs,
            vault: deps.vault,
            callbacks: deps.callbacks,
            outbound: deps.outbound,
            clock: deps.clock,
            ids: deps.ids,
            catalog: deps.catalog,
            vars: deps.vars,
            scheduler: deps.scheduler,
            stats: deps.stats,
            recorder: deps.recorder,
            history_reader: deps.history_reader,
            bundles: deps.bundles,
            leases: deps.leases,
            lifecycle: deps.lifecycle,
            dispatch,
            completion_metrics: CompletionMetrics::default(),
            outbox,
            retention_metrics: RetentionMetrics::default(),
            bodies: Arc::default(),
            hooks: Hooks::default(),
            inspection: settings.inspection.clone(),
            retention_default: settings.retention,
        };
        Ok((Arc::new(runs), feeds))
    }

    /// How long a call may take. One that a debugger may hold up is not to be killed for it.
    pub(crate) fn time_for_call(&self, settings: &FunctionSettings) -> Duration {
        if self.inspection.is_some() { Inspection::PATIENCE } else { settings.timeout.get() }
    }

    /// Whether calls are taken.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.lifecycle.is_stopping()
    }

    /// What became of callbacks and destinations.
    #[must_use]
    pub fn completion_metrics(&self) -> &CompletionMetrics {
        &self.completion_metrics
    }

    /// Memory for bodies that are held for calls.
    #[must_use]
    pub fn bodies(&self) -> &Arc<BodyBudget> {
        &self.bodies
    }

    /// Bytes of background runs that have not ended.
    #[must_use]
    pub fn waiting_bytes(&self) -> u64 {
        self.dispatch.backlog.bytes()
    }

    /// Accepted runs of a function that have not ended.
    #[must_use]
    pub fn backlog_of(&self, function: FunctionId) -> u64 {
        self.dispatch.backlog.of(function)
    }
}
