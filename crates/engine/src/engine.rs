//! The engine itself: what the doors hold and call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use faas_artifacts::{BundleStore, UploadLeases};
use faas_ports::{
    Blobs, BodyStream, Builder, Callbacks, Claims, Clock, Collection, DeadLetters, Events, Expect, IdSource,
    Inspection, Key, Launcher, Layers, Networks, Outbound, PortError, Registry, RunHistory, RunQueue, Topics, Vault,
    Write,
};
use faas_preflight::Policy;
use faas_scheduler::{CapacityLimits, DriverDeps, FunctionLoad, SchedulerDriver, SchedulerSnapshot};
use faas_telemetry::{HistoryReader, Recorder, Stats};
use faas_types::{Affinity, Fault, ProjectId, Retention, limits};
use futures_util::future::{self, Either};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body_budget::{BodyBudget, BodyOwner, Reservation};
use crate::call::{CallRequest, Route, Selector, kept_lot};
use crate::catalog::Catalog;
use crate::core::{Core, stopping};
use crate::dependencies::{InstallerDeps, PackageInstaller};
use crate::deployments::Deployments;
use crate::dispatch::{self, Dispatch};
use crate::gc::{GarbageCollector, GcDeps, GcPolicy};
use crate::keys::Keys;
use crate::layers::{LayerCatalog, LayerDeps};
use crate::onward::{CallbackPolicy, OnwardFigures, Outbox, send_callbacks};
use crate::quotas::Quotas;
use crate::reply::{Call, CallFailure};
use crate::retention::Forgotten;
use crate::rollouts::keep_rollouts;
use crate::stages::StageBook;
use crate::topics::{Flow, TopicHall};
use crate::triggers::{States, Triggers, hand_messages_over, keep_schedules};
use crate::upload_rules::UploadRules;
use crate::uploads::{UploadDeps, Uploads};

/// How long killed instances may take to be gone.
const ABANDON_PATIENCE: Duration = Duration::from_secs(5);

/// How long the ends of runs may take to be stored once nothing runs any more.
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);
/// Instances that start at the same time, for each core: starting one is mostly work and partly waiting for the kernel.
const STARTS_PER_CORE: u32 = 4;

/// What the engine runs on.
#[derive(Clone)]
#[expect(missing_docs, reason = "each field is the port of its type")]
pub struct Ports {
    pub registry: Arc<dyn Registry>,
    pub history: Arc<dyn RunHistory>,
    pub queue: Arc<dyn RunQueue>,
    pub dead_letters: Arc<dyn DeadLetters>,
    pub claims: Arc<dyn Claims>,
    pub callbacks: Arc<dyn Callbacks>,
    pub topics: Arc<dyn Topics>,
    pub blobs: Arc<dyn Blobs>,
    pub layers: Arc<dyn Layers>,
    pub events: Arc<dyn Events>,
    pub vault: Arc<dyn Vault>,
    pub outbound: Arc<dyn Outbound>,
    pub networks: Arc<dyn Networks>,
    pub launcher: Arc<dyn Launcher>,
    pub builder: Arc<dyn Builder>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdSource>,
}

/// What can be set.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// How long an instance stays without a call.
    pub idle_timeout: Duration,
    /// How long a leased run stays this server's without a heartbeat.
    pub lease: Duration,
    /// How often idle instances are looked for.
    pub tend_every: Duration,
    /// Instances of all functions together.
    pub instances_max: u32,
    /// How long a project's history is kept that has no settings of its own.
    pub retention: Retention,
    /// The longest sleep between two looks at the clock for schedules: so soon is it seen that the clock was moved.
    pub look_every: Duration,
    /// Bytes of all instances together.
    pub memory_max: u64,
    /// Instances that start at the same time.
    pub starts_max: u32,
    /// Builds of packages at the same time.
    pub builds_max: usize,
    /// Functions that metrics name; the others share one label.
    pub metric_labels_max: usize,
    /// How callbacks are tried again.
    pub callbacks: CallbackPolicy,
    /// Versions of a function that are kept whether something needs them or not.
    pub versions_kept: u32,
    /// What uploads are refused for.
    pub preflight: Arc<Policy>,
    /// Lets debuggers into instances, and gives calls the time for it.
    pub inspection: Option<Inspection>,
    /// How what nothing needs is collected.
    pub collect: GcPolicy,
    /// How much callers can make the server keep.
    pub quotas: Quotas,
    /// What a thread of the engine does first whose work nobody waits for, so that it stands behind those that answer.
    pub give_way: fn(),
}

/// Decides and carries out. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    /// Collects files and records that nothing needs.
    pub gc: Arc<GarbageCollector>,
    /// Versions and aliases.
    pub deployments: Arc<Deployments>,
    /// Layers of packages, and named ones.
    pub layers: Arc<LayerCatalog>,
    /// The rules that uploads are checked against.
    pub upload_rules: Arc<UploadRules>,
    /// Takes in the files of what will be deployed.
    pub uploads: Arc<Uploads>,
    pub(crate) core: Arc<Core>,
    project: ProjectId,
    pub(crate) retention_default: Retention,
    /// What ends last: the keeper of time, and what must outlive every call.
    background: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

// === impl EngineSettings ===

impl Default for EngineSettings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            idle_timeout: Duration::from_secs(300),
            lease: Duration::from_secs(30),
            tend_every: Duration::from_secs(1),
            instances_max: 1_000,
            memory_max: u64::MAX,
            starts_max: u32::try_from(cores).unwrap_or(u32::MAX).saturating_mul(STARTS_PER_CORE),
            builds_max: 2,
            metric_labels_max: 200,
            callbacks: CallbackPolicy::default(),
            versions_kept: limits::VERSIONS_KEPT,
            preflight: Arc::default(),
            inspection: None,
            collect: GcPolicy::default(),
            quotas: Quotas::default(),
            give_way: || {},
            retention: Retention::default(),
            look_every: Duration::from_secs(10),
        }
    }
}

impl EngineSettings {
    fn limits(&self) -> CapacityLimits {
        let Self { instances_max, memory_max, starts_max, .. } = *self;
        CapacityLimits {
            instances: instances_max,
            memory: memory_max,
            starts: starts_max.max(1),
            waiting: limits::WAITING_MAX,
        }
    }
}

// === impl Engine ===

impl Engine {
    /// Loads the state of the registry and starts serving.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn start(ports: Ports, settings: EngineSettings) -> Result<Self, Fault> {
        let project = default_project(&*ports.registry, &*ports.clock, &*ports.ids).await?;
        let catalog = Catalog::start(Arc::clone(&ports.registry)).await?;
        let stages = StageBook::start(Arc::clone(&ports.registry)).await?;
        let keys = Keys::start(Arc::clone(&ports.registry), Arc::clone(&ports.clock), Arc::clone(&ports.ids)).await?;
        let triggers = Triggers::start(Arc::clone(&ports.registry)).await?;
        let trigger_states = States::load(Arc::clone(&ports.registry)).await?;
        let stats = Arc::new(Stats::new(settings.metric_labels_max));
        let stop = CancellationToken::new();
        let (history, events) = (Arc::clone(&ports.history), ports.events);
        let recorder =
            Recorder::start(Arc::clone(&history), Arc::clone(&events), Arc::clone(&stats), settings.give_way)?;
        let history_reader = HistoryReader::new(history, events, recorder.clone(), stop.clone());
        let (queue, letters) = (ports.queue, ports.dead_letters);
        let depths = queue.depths().await?;
        let outbox = Outbox::new(&ports.callbacks.callback_depths().await?, &depths, settings.quotas.callbacks);
        let (dispatch, feeds) = Dispatch::open(queue, letters, ports.claims, settings.lease, settings.quotas, &depths);
        let tasks = TaskTracker::new();
        let leases = Arc::new(UploadLeases::new(ports.clock.now()));
        let deps = DriverDeps {
            launcher: Arc::clone(&ports.launcher),
            clock: Arc::clone(&ports.clock),
            ids: Arc::clone(&ports.ids),
            recorder: recorder.clone(),
            stats: Arc::clone(&stats),
            tasks: tasks.clone(),
        };
        let bundles = Arc::new(BundleStore::new(Arc::clone(&ports.blobs), Arc::clone(&ports.layers)));
        let upload_rules = Arc::new(UploadRules::new(
            Arc::clone(&ports.registry),
            Arc::clone(&ports.blobs),
            Arc::clone(&ports.clock),
            Arc::clone(&settings.preflight),
        ));
        let core = Arc::new(Core {
            registry: ports.registry,
            history: ports.history,
            blobs: ports.blobs,
            vault: ports.vault,
            callbacks: ports.callbacks,
            outbound: ports.outbound,
            networks: ports.networks,
            launcher: ports.launcher,
            clock: ports.clock,
            ids: ports.ids,
            catalog,
            stages,
            keys,
            triggers,
            trigger_states,
            scheduler: SchedulerDriver::new(settings.limits(), deps),
            stats,
            recorder,
            history_reader,
            forgotten: Forgotten::default(),
            bundles,
            leases,
            dispatch,
            onward: OnwardFigures::default(),
            outbox,
            topics: TopicHall { store: ports.topics, flow: Flow::default() },
            tasks,
            stop,
            stopping: AtomicBool::new(false),
            kinds_changed: Notify::new(),
            bodies: Arc::default(),
            upload_rules: Arc::clone(&upload_rules),
            inspection: settings.inspection.clone(),
        });
        let installer = Arc::new(PackageInstaller::new(
            InstallerDeps {
                registry: Arc::clone(&core.registry),
                blobs: Arc::clone(&core.blobs),
                launcher: Arc::clone(&core.launcher),
                builder: ports.builder,
                clock: Arc::clone(&core.clock),
                bundles: Arc::clone(&core.bundles),
                stop: core.stop.clone(),
            },
            settings.builds_max,
        ));
        let layers = Arc::new(LayerCatalog::new(LayerDeps {
            registry: Arc::clone(&core.registry),
            clock: Arc::clone(&core.clock),
            catalog: Arc::clone(&core.catalog),
            bundles: Arc::clone(&core.bundles),
            leases: Arc::clone(&core.leases),
            rules: Arc::clone(&upload_rules),
            installer: Arc::clone(&installer),
            stop: core.stop.clone(),
        }));
        let uploads = Arc::new(Uploads::new(UploadDeps {
            blobs: Arc::clone(&core.blobs),
            clock: Arc::clone(&core.clock),
            bundles: Arc::clone(&core.bundles),
            leases: Arc::clone(&core.leases),
            rules: Arc::clone(&upload_rules),
        }));
        let deployments = Deployments::new(Arc::clone(&core), Arc::clone(&layers), installer, settings.versions_kept);
        let deployments = Arc::new(deployments);
        let gc = GarbageCollector::new(
            GcDeps {
                registry: Arc::clone(&core.registry),
                letters: Arc::clone(&core.dispatch.letters),
                blobs: Arc::clone(&core.blobs),
                layers: ports.layers,
                clock: Arc::clone(&core.clock),
                bundles: Arc::clone(&core.bundles),
                leases: Arc::clone(&core.leases),
                catalog: Arc::clone(&core.catalog),
                scheduler: Arc::clone(&core.scheduler),
                stop: core.stop.clone(),
            },
            settings.collect,
        );
        let gc = Arc::new(gc);
        let mut background =
            vec![tokio::spawn(Arc::clone(&core).tend(settings.clone())), tokio::spawn(Arc::clone(&core).foretell())];
        background.extend(dispatch::start(&core, feeds));
        core.tasks.spawn(Arc::clone(&core).forget(settings.retention));
        core.tasks.spawn(Arc::clone(&gc).run_periodically());
        core.tasks.spawn(send_callbacks(Arc::clone(&core), settings.callbacks));
        let retention_default = settings.retention;
        let background = Arc::new(Mutex::new(background));
        let engine =
            Self { deployments, gc, layers, upload_rules, uploads, core, project, retention_default, background };
        engine.core.tasks.spawn(keep_schedules(engine.clone(), settings.look_every));
        engine.core.tasks.spawn(hand_messages_over(engine.clone()));
        engine.core.tasks.spawn(keep_rollouts(Arc::clone(&engine.deployments), settings.look_every));
        Ok(engine)
    }

    /// The project that belongs to callers without a key.
    #[must_use]
    pub fn default_project(&self) -> ProjectId {
        self.project
    }

    /// The functions.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.core.catalog
    }

    /// The API keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.core.keys
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.core.stats
    }

    /// The files of versions and layers.
    #[must_use]
    pub fn bundles(&self) -> &Arc<BundleStore> {
        &self.core.bundles
    }

    /// Runs and log lines.
    #[must_use]
    pub fn history(&self) -> &HistoryReader {
        &self.core.history_reader
    }

    /// What became of callbacks and destinations.
    #[must_use]
    pub fn onward(&self) -> &OnwardFigures {
        &self.core.onward
    }

    /// Memory for bodies that are held for calls.
    #[must_use]
    pub fn bodies(&self) -> &Arc<BodyBudget> {
        &self.core.bodies
    }

    /// Bytes of background runs that have not ended.
    #[must_use]
    pub fn waiting_bytes(&self) -> u64 {
        self.core.dispatch.backlog.bytes()
    }

    /// Nothing yet of that memory, to grow with the body of a call of this function.
    #[must_use]
    pub fn room_for_body(&self, route: &Route) -> Reservation {
        let record = &route.entry.record;
        self.core.bodies.open(BodyOwner { project: record.project, function: record.id })
    }

    /// The runtimes of this machine.
    #[must_use]
    pub fn launcher(&self) -> &dyn Launcher {
        &*self.core.launcher
    }

    /// The instances of this node.
    #[must_use]
    pub fn scheduler(&self) -> &SchedulerDriver {
        &self.core.scheduler
    }

    /// The functions of a snapshot by name; those with the same name in several projects are added up.
    #[must_use]
    pub fn load_by_name(&self, snapshot: &SchedulerSnapshot) -> BTreeMap<String, FunctionLoad> {
        let mut named = BTreeMap::<String, FunctionLoad>::new();
        for (id, function) in &snapshot.functions {
            if let Some(entry) = self.core.catalog.all_by_id(*id) {
                named.entry(entry.record.name.to_string()).or_default().add(*function);
            }
        }
        named
    }

    /// Whether calls are taken.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.core.stopping.load(Ordering::Acquire)
    }

    /// Finds the function and the version that a call goes to.
    ///
    /// # Errors
    /// `FN_001` or `FN_013` when there is none.
    pub async fn route(&self, project: ProjectId, name: &str, selector: &Selector) -> Result<Route, Fault> {
        let entry = self.core.function(project, name)?;
        self.core.route(entry, selector, None).await
    }

    /// The same for a request, of which `mark` gives the part that may keep its caller with a version.
    ///
    /// # Errors
    /// `FN_001` or `FN_013` when there is none.
    pub async fn route_request<'r>(
        &self,
        project: ProjectId,
        name: &str,
        selector: &Selector,
        mark: impl Fn(&Affinity) -> Option<&'r [u8]>,
    ) -> Result<Route, Fault> {
        let entry = self.core.function(project, name)?;
        let lot = kept_lot(&entry, selector, mark);
        self.core.route(entry, selector, lot).await
    }

    /// Identifies the vars and secrets that a call by this route runs with.
    #[must_use]
    pub fn vars_mark(&self, route: &Route) -> u64 {
        self.core.mark(&route.entry, &route.version, route.stage)
    }

    /// Calls a function and returns with the head of its reply, or with all of it where that comes at once.
    ///
    /// # Errors
    /// [`CallFailure`] with the catalogue's code; a function's own error is inside it.
    // Not `async`: its future would be one more that keeps its arguments twice.
    pub fn call(&self, route: Route, request: CallRequest) -> impl Future<Output = Result<Call, CallFailure>> + Send {
        if self.is_ready() {
            Either::Left(self.core.call(route, request, None))
        } else {
            Either::Right(future::ready(Err(stopping().into())))
        }
    }

    /// As [`call`](Self::call), with a body that is still arriving in place of the request's.
    ///
    /// # Errors
    /// As [`call`](Self::call); also what ends the body.
    pub async fn call_streaming(
        &self,
        route: Route,
        request: CallRequest,
        body: BodyStream,
    ) -> Result<Call, CallFailure> {
        if !self.is_ready() {
            return Err(stopping().into());
        }
        self.core.call(route, request, Some(body)).await
    }

    /// Takes no more calls, lets those under way end within `patience`, then stops every instance.
    /// Nothing is left of them when this returns.
    pub async fn stop(&self, patience: Duration) {
        self.core.stopping.store(true, Ordering::Release);
        self.core.stop.cancel();
        self.core.scheduler.stop(patience);
        self.core.tasks.close();
        if tokio::time::timeout(patience, self.core.tasks.wait()).await.is_err() {
            tracing::warn!(
                instances = self.core.scheduler.instances(),
                "calls are still under way at the end of the drain"
            );
            self.core.scheduler.abandon();
            if tokio::time::timeout(ABANDON_PATIENCE, self.core.tasks.wait()).await.is_err() {
                tracing::error!(instances = self.core.scheduler.instances(), "instances did not end");
            }
        }
        self.core.dispatch.flush(SETTLE_PATIENCE).await;
        self.core.recorder.stop().await;
        self.background.lock().drain(..).for_each(|task| task.abort());
    }
}

/// The project of this server's own users; made at the first start.
async fn default_project(
    registry: &dyn Registry,
    clock: &dyn Clock,
    ids: &dyn IdSource,
) -> Result<ProjectId, PortError> {
    // Kept under the nil project, which owns what belongs to the server itself.
    let key = Key::new(ProjectId::from_u128(0), Collection::Projects, "default");
    loop {
        if let Some(entry) = registry.get(&key).await? {
            return crate::catalog::decode(&key, &entry.value);
        }
        let project: ProjectId = ids.mint(clock.now());
        let value = Bytes::from(format!("\"{project}\""));
        let write = Write::Put { key: key.clone(), value, expect: Expect::Absent };
        match registry.commit(vec![write]).await {
            Ok(_) => return Ok(project),
            Err(PortError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}
