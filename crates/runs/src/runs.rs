//! Runs: calls, background runs, their retries, history and callbacks.

use std::sync::Arc;
use std::time::Duration;

use faas_artifacts::{BundleStore, UploadLeases};
use faas_catalog::{Catalog, VarStore};
use faas_ports::{
    Blobs, BodyStream, Callbacks, Claims, Clock, DeadLetters, IdSource, Inspection, Outbound, PortResult, Registry,
    RunHistory, RunQueue, Vault,
};
use faas_scheduler::{PoolKey, PoolStatus, SchedulerDriver};
use faas_telemetry::{HistoryReader, Recorder, Stats};
use faas_types::{Affinity, Fault, FunctionId, FunctionSettings, ProjectId, Retention, Stage};
use futures_util::future::{self, Either};
use tokio::task::JoinHandle;

use crate::body_budget::{BodyBudget, BodyOwner, Reservation};
use crate::call::{CallRequest, Route, Selector, kept_lot};
use crate::completion::{CallbackPolicy, CompletionMetrics, Outbox, send_callbacks};
use crate::dispatch::{self, Dispatch, Feeds};
use crate::hooks::Hooks;
use crate::lifecycle::{Lifecycle, stopping};
use crate::quotas::Quotas;
use crate::reply::{Call, CallFailure};
use crate::retention::RetentionMetrics;

/// How long the ends of runs may take to be stored once nothing runs any more.
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);

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
    /// How long a project's history is kept that has no settings of its own.
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
    pub(crate) onward: CompletionMetrics,
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
            onward: CompletionMetrics::default(),
            outbox,
            retention_metrics: RetentionMetrics::default(),
            bodies: Arc::default(),
            hooks: Hooks::default(),
            inspection: settings.inspection.clone(),
            retention_default: settings.retention,
        };
        Ok((Arc::new(runs), feeds))
    }

    /// Starts the background tasks. Those returned end when they are aborted, the others when the server stops.
    pub fn start(self: &Arc<Self>, feeds: Feeds, settings: &RunSettings) -> [JoinHandle<()>; 2] {
        let background = dispatch::start(self, feeds);
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
    pub fn onward(&self) -> &CompletionMetrics {
        &self.onward
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

    /// An empty reservation of that memory, to grow with the body of a call of this function.
    #[must_use]
    pub fn room_for_body(&self, route: &Route) -> Reservation {
        let record = &route.entry.record;
        self.bodies.open(BodyOwner { project: record.project, function: record.id })
    }

    /// Finds the function and the version that a call goes to.
    ///
    /// # Errors
    /// `FN_001` without such a function, `FN_013` without such a version.
    pub async fn route(&self, project: ProjectId, name: &str, selector: &Selector) -> Result<Route, Fault> {
        self.route_entry(self.catalog.find(project, name)?, selector, None).await
    }

    /// The same for a request, of which `mark` gives the part that may keep its caller with a version.
    ///
    /// # Errors
    /// `FN_001` without such a function, `FN_013` without such a version.
    pub async fn route_request<'r>(
        &self,
        project: ProjectId,
        name: &str,
        selector: &Selector,
        mark: impl Fn(&Affinity) -> Option<&'r [u8]>,
    ) -> Result<Route, Fault> {
        let entry = self.catalog.find(project, name)?;
        let lot = kept_lot(&entry, selector, mark);
        self.route_entry(entry, selector, lot).await
    }

    /// Identifies the vars and secrets that a call by this route runs with.
    #[must_use]
    pub fn vars_fingerprint(&self, route: &Route) -> u64 {
        self.vars.fingerprint(&route.entry, &route.version, route.stage).as_u64()
    }

    /// Calls a function and returns with the head of its reply, or with all of it where that comes at once.
    ///
    /// # Errors
    /// [`CallFailure`] with the catalogue's code; a function's own error is inside it.
    // Not `async`: its future would be one more that keeps its arguments twice.
    pub fn call(
        self: &Arc<Self>,
        route: Route,
        request: CallRequest,
    ) -> impl Future<Output = Result<Call, CallFailure>> + Send {
        if self.is_ready() {
            Either::Left(self.begin_call(route, request, None))
        } else {
            Either::Right(future::ready(Err(stopping().into())))
        }
    }

    /// As [`call`](Self::call), with a body that is still arriving in place of the request's.
    ///
    /// # Errors
    /// As [`call`](Self::call); also what ends the body.
    pub async fn call_streaming(
        self: &Arc<Self>,
        route: Route,
        request: CallRequest,
        body: BodyStream,
    ) -> Result<Call, CallFailure> {
        if !self.is_ready() {
            return Err(stopping().into());
        }
        self.begin_call(route, request, Some(body)).await
    }
}
