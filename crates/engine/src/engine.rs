//! The engine itself: what the doors hold and call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use faas_artifacts::{BundleStore, UploadLeases};
use faas_catalog::{
    Catalog, Functions, Keys, NetworkPolicies, ProjectionStatus, Rekeyer, Secrets, VarSettings, VarStore,
    default_project,
};
use faas_ports::{
    Blobs, Builder, Callbacks, Claims, Clock, DeadLetters, Events, IdSource, Inspection, Launcher, Layers, Networks,
    Outbound, Registry, RunHistory, RunQueue, Topics, Vault,
};
use faas_preflight::Policy;
use faas_runs::callback_policy::CallbackPolicy;
use faas_runs::dispatch::Feeds;
use faas_runs::lifecycle::{Lifecycle, stopping};
use faas_runs::quotas::Quotas;
use faas_runs::runs::{RunDeps, RunSettings, Runs};
use faas_scheduler::{CapacityLimits, DriverDeps, FunctionLoad, SchedulerDriver, SchedulerSnapshot};
use faas_telemetry::{HistoryReader, Recorder, Stats};
use faas_triggers::{TriggerDeps, Triggers};
use faas_types::{Fault, ProjectId, Retention, limits};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::catalog_services::CatalogServices;
use crate::core::Core;
use crate::dependencies::{InstallerDeps, PackageInstaller};
use crate::deployments::Deployments;
use crate::gc::{GarbageCollector, GcDeps, GcPolicy};
use crate::layers::{LayerCatalog, LayerDeps};
use crate::rollouts::keep_rollouts;
use crate::upload_rules::UploadRules;
use crate::uploads::{UploadDeps, Uploads};

/// How long killed instances may take to be gone.
const ABANDON_PATIENCE: Duration = Duration::from_secs(5);

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
    /// Calls and background runs.
    pub runs: Arc<Runs>,
    /// Functions, without their versions.
    pub functions: Arc<Functions>,
    /// Vars of stages and functions.
    pub vars: Arc<VarSettings>,
    /// Secrets of stages.
    pub secrets: Arc<Secrets>,
    /// What functions may connect to.
    pub network: Arc<NetworkPolicies>,
    /// Changes the key that secrets are sealed under.
    pub rekeyer: Arc<Rekeyer>,
    /// Collects files and records that nothing needs.
    pub gc: Arc<GarbageCollector>,
    /// Triggers and topics.
    pub triggers: Arc<Triggers>,
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
    fn runs(&self) -> RunSettings {
        let Self { lease, quotas, callbacks, retention, ref inspection, .. } = *self;
        RunSettings { lease, quotas, callbacks, retention, inspection: inspection.clone() }
    }

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
        let (core, feeds) = open_core(&ports, &settings).await?;
        let (runs, lifecycle) = (Arc::clone(&core.runs), Arc::clone(&core.lifecycle));
        let installer = Arc::new(PackageInstaller::new(
            InstallerDeps {
                registry: Arc::clone(&core.registry),
                blobs: Arc::clone(&core.blobs),
                launcher: Arc::clone(&core.launcher),
                builder: Arc::clone(&ports.builder),
                clock: Arc::clone(&core.clock),
                bundles: Arc::clone(&core.bundles),
                stop: lifecycle.token().clone(),
            },
            settings.builds_max,
        ));
        let layers = Arc::new(LayerCatalog::new(LayerDeps {
            registry: Arc::clone(&core.registry),
            clock: Arc::clone(&core.clock),
            catalog: Arc::clone(&core.catalog),
            bundles: Arc::clone(&core.bundles),
            leases: Arc::clone(&core.leases),
            rules: Arc::clone(&core.upload_rules),
            installer: Arc::clone(&installer),
            stop: lifecycle.token().clone(),
        }));
        let uploads = Arc::new(Uploads::new(UploadDeps {
            blobs: Arc::clone(&core.blobs),
            clock: Arc::clone(&core.clock),
            bundles: Arc::clone(&core.bundles),
            leases: Arc::clone(&core.leases),
            rules: Arc::clone(&core.upload_rules),
        }));
        let CatalogServices { functions, vars, secrets, network, rekeyer } = CatalogServices::new(&core, &ports);
        let deployments = Arc::new(Deployments::new(
            Arc::clone(&core),
            Arc::clone(&functions),
            Arc::clone(&network),
            Arc::clone(&layers),
            installer,
            settings.versions_kept,
        ));
        let gc = GarbageCollector::new(
            GcDeps {
                registry: Arc::clone(&core.registry),
                letters: Arc::clone(&runs.dispatch.letters),
                blobs: Arc::clone(&core.blobs),
                layers: Arc::clone(&ports.layers),
                clock: Arc::clone(&core.clock),
                bundles: Arc::clone(&core.bundles),
                leases: Arc::clone(&core.leases),
                catalog: Arc::clone(&core.catalog),
                scheduler: Arc::clone(&core.scheduler),
                stop: lifecycle.token().clone(),
            },
            settings.collect,
        );
        let gc = Arc::new(gc);
        let tending = Arc::clone(&runs).tend(settings.tend_every, settings.idle_timeout);
        let mut background =
            vec![tokio::spawn(tending), tokio::spawn(anticipate(ports.launcher, Arc::clone(&core.catalog)))];
        background.extend(runs.start(feeds, &settings.runs()));
        lifecycle.spawn(Arc::clone(&gc).run_periodically());
        let background = Arc::new(Mutex::new(background));
        let upload_rules = Arc::clone(&core.upload_rules);
        let triggers = Arc::clone(&core.triggers);
        triggers.start(settings.look_every);
        let engine = Self {
            runs,
            functions,
            vars,
            secrets,
            network,
            rekeyer,
            triggers,
            deployments,
            gc,
            layers,
            upload_rules,
            uploads,
            core,
            project,
            background,
        };
        lifecycle.spawn(keep_rollouts(Arc::clone(&engine.deployments), settings.look_every));
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

    /// How each table in memory follows the registry.
    #[must_use]
    pub fn projections(&self) -> Vec<ProjectionStatus> {
        let core = &self.core;
        core.vars
            .status()
            .into_iter()
            .chain([core.catalog.status(), core.keys.status(), core.triggers.status()])
            .collect()
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
        &self.runs.history_reader
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
            if let Some(entry) = self.core.catalog.any_by_id(*id) {
                named.entry(entry.record.name.to_string()).or_default().add(*function);
            }
        }
        named
    }

    /// Whether calls are taken.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.runs.is_ready()
    }

    /// Whether a proxy should send calls here. Calls are taken all the same while only a table is stale.
    ///
    /// # Errors
    /// `FN_016` while the server stops, and once a table in memory has been stale for [`STALE_MAX`](faas_catalog::STALE_MAX).
    pub fn check_ready(&self) -> Result<(), Fault> {
        if self.is_ready() { ProjectionStatus::check_all(&self.projections()) } else { Err(stopping()) }
    }

    /// Takes no more calls, lets those under way end within `patience`, then stops every instance.
    /// Nothing is left of them when this returns.
    pub async fn stop(&self, patience: Duration) {
        let Core { lifecycle, scheduler, .. } = &*self.core;
        lifecycle.stop();
        scheduler.stop(patience);
        if !lifecycle.drained(patience).await {
            tracing::warn!(instances = scheduler.instances(), "calls are still under way at the end of the drain");
            scheduler.abandon();
            if !lifecycle.drained(ABANDON_PATIENCE).await {
                tracing::error!(instances = scheduler.instances(), "instances did not end");
            }
        }
        self.runs.flush().await;
        self.background.lock().drain(..).for_each(|task| task.abort());
    }
}

/// Loads the tables in memory and opens what the services share.
async fn open_core(ports: &Ports, settings: &EngineSettings) -> Result<(Arc<Core>, Feeds), Fault> {
    let catalog = Catalog::start(Arc::clone(&ports.registry)).await?;
    let vars = VarStore::start(Arc::clone(&ports.registry), Arc::clone(&ports.vault)).await?;
    let keys = Keys::start(Arc::clone(&ports.registry), Arc::clone(&ports.clock), Arc::clone(&ports.ids)).await?;
    let stats = Arc::new(Stats::new(settings.metric_labels_max));
    let lifecycle = Arc::<Lifecycle>::default();
    let (history, events) = (Arc::clone(&ports.history), Arc::clone(&ports.events));
    let recorder = Recorder::start(Arc::clone(&history), Arc::clone(&events), Arc::clone(&stats), settings.give_way)?;
    let history_reader = HistoryReader::new(history, events, recorder.clone(), lifecycle.token().clone());
    let leases = Arc::new(UploadLeases::new(ports.clock.now()));
    let deps = DriverDeps {
        launcher: Arc::clone(&ports.launcher),
        clock: Arc::clone(&ports.clock),
        ids: Arc::clone(&ports.ids),
        recorder: recorder.clone(),
        stats: Arc::clone(&stats),
        tasks: lifecycle.tasks().clone(),
    };
    let bundles = Arc::new(BundleStore::new(Arc::clone(&ports.blobs), Arc::clone(&ports.layers)));
    let upload_rules = Arc::new(UploadRules::new(
        Arc::clone(&ports.registry),
        Arc::clone(&ports.blobs),
        Arc::clone(&ports.clock),
        Arc::clone(&settings.preflight),
    ));
    let scheduler = SchedulerDriver::new(settings.limits(), deps);
    let run_deps = RunDeps {
        registry: Arc::clone(&ports.registry),
        history: Arc::clone(&ports.history),
        queue: Arc::clone(&ports.queue),
        dead_letters: Arc::clone(&ports.dead_letters),
        claims: Arc::clone(&ports.claims),
        callbacks: Arc::clone(&ports.callbacks),
        blobs: Arc::clone(&ports.blobs),
        vault: Arc::clone(&ports.vault),
        outbound: Arc::clone(&ports.outbound),
        clock: Arc::clone(&ports.clock),
        ids: Arc::clone(&ports.ids),
        catalog: Arc::clone(&catalog),
        vars: Arc::clone(&vars),
        scheduler: Arc::clone(&scheduler),
        stats: Arc::clone(&stats),
        recorder,
        history_reader,
        bundles: Arc::clone(&bundles),
        leases: Arc::clone(&leases),
        lifecycle: Arc::clone(&lifecycle),
    };
    let (runs, feeds) = Runs::open(run_deps, &settings.runs()).await?;
    let trigger_deps = TriggerDeps {
        registry: Arc::clone(&ports.registry),
        topics: Arc::clone(&ports.topics),
        vault: Arc::clone(&ports.vault),
        clock: Arc::clone(&ports.clock),
        ids: Arc::clone(&ports.ids),
        catalog: Arc::clone(&catalog),
        runs: Arc::clone(&runs),
        lifecycle: Arc::clone(&lifecycle),
    };
    let triggers = Triggers::open(trigger_deps).await?;
    let core = Arc::new(Core {
        runs: Arc::clone(&runs),
        lifecycle: Arc::clone(&lifecycle),
        registry: Arc::clone(&ports.registry),
        blobs: Arc::clone(&ports.blobs),
        vault: Arc::clone(&ports.vault),
        launcher: Arc::clone(&ports.launcher),
        clock: Arc::clone(&ports.clock),
        ids: Arc::clone(&ports.ids),
        catalog,
        vars,
        keys,
        triggers,
        scheduler,
        stats,
        bundles,
        leases,
        upload_rules,
    });
    Ok((core, feeds))
}

/// Tells the launcher what kinds of instances may be wanted, until aborted.
async fn anticipate(launcher: Arc<dyn Launcher>, catalog: Arc<Catalog>) {
    loop {
        launcher.anticipate(catalog.live_kinds());
        catalog.live_kinds_changed().await;
    }
}
