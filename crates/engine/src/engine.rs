//! The façade that doors hold and call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use faas_artifacts::BundleStore;
use faas_catalog::{
    Catalog, Functions, Keys, NetworkPolicies, ProjectionStatus, Rekeyer, Secrets, VarSettings, VarStore,
    default_project,
};
use faas_deployments::{Deployments, GarbageCollector, LayerCatalog, UploadRules, Uploads};
use faas_ports::Launcher;
use faas_runs::lifecycle::{Lifecycle, stopping};
use faas_runs::runs::Runs;
use faas_scheduler::{FunctionLoad, SchedulerDriver, SchedulerSnapshot};
use faas_telemetry::{HistoryReader, Stats};
use faas_triggers::Triggers;
use faas_types::{Fault, ProjectId};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::foundation::Foundation;
use crate::ports::Ports;
use crate::settings::EngineSettings;

/// How long killed instances may take to be gone.
const ABANDON_PATIENCE: Duration = Duration::from_secs(5);

/// All services, opened on their ports. Cheap to clone.
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
    /// Triggers and topics.
    pub triggers: Arc<Triggers>,
    /// Versions and aliases.
    pub deployments: Arc<Deployments>,
    /// Layers of packages, and named ones.
    pub layers: Arc<LayerCatalog>,
    /// The rules that uploads are checked against.
    pub upload_rules: Arc<UploadRules>,
    /// Stores the files of versions and layers before they are deployed.
    pub uploads: Arc<Uploads>,
    /// Removes files and records that nothing needs.
    pub gc: Arc<GarbageCollector>,
    project: ProjectId,
    catalog: Arc<Catalog>,
    var_store: Arc<VarStore>,
    keys: Arc<Keys>,
    stats: Arc<Stats>,
    bundles: Arc<BundleStore>,
    launcher: Arc<dyn Launcher>,
    scheduler: Arc<SchedulerDriver>,
    lifecycle: Arc<Lifecycle>,
    /// Tasks that end last: the scheduler's timer, and what must outlive every call.
    background: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

// === impl Engine ===

impl Engine {
    /// Loads the state of the registry, opens the services from below and starts their tasks.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn start(ports: Ports, settings: EngineSettings) -> Result<Self, Fault> {
        let project = default_project(&*ports.registry, &*ports.clock, &*ports.ids).await?;
        let base = Foundation::open(ports, &settings).await?;
        let (runs, feeds) = base.open_runs(&settings).await?;
        let triggers = base.open_triggers(&runs).await?;
        let catalog = base.catalog_services(&runs);
        let uploads = base.upload_services(&settings);
        let deployments = base.deployments(&runs, &triggers, &catalog, &uploads, settings.versions_kept);
        if let Err(fault) = deployments.end_interrupted().await {
            tracing::error!(%fault, "deployments that were interrupted cannot be ended");
        }
        let gc = base.gc(&runs, settings.gc);
        let Foundation { ports, catalog: functions, .. } = &base;
        let tending = Arc::clone(&runs).tend(settings.tend_every, settings.idle_timeout);
        let anticipating = anticipate(Arc::clone(&ports.launcher), Arc::clone(functions));
        let mut background = vec![tokio::spawn(tending), tokio::spawn(anticipating)];
        background.extend(runs.start(feeds, &settings.runs()));
        base.lifecycle.spawn(Arc::clone(&gc).run_periodically());
        triggers.start(settings.look_every);
        deployments.start(settings.look_every);
        Ok(Self {
            runs,
            functions: catalog.functions,
            vars: catalog.vars,
            secrets: catalog.secrets,
            network: catalog.network,
            rekeyer: catalog.rekeyer,
            triggers,
            deployments,
            layers: uploads.layers,
            upload_rules: uploads.rules,
            uploads: uploads.uploads,
            gc,
            project,
            catalog: base.catalog,
            var_store: base.vars,
            keys: base.keys,
            stats: base.stats,
            bundles: base.bundles,
            launcher: base.ports.launcher,
            scheduler: base.scheduler,
            lifecycle: base.lifecycle,
            background: Arc::new(Mutex::new(background)),
        })
    }

    /// The project that belongs to callers without a key.
    #[must_use]
    pub fn default_project(&self) -> ProjectId {
        self.project
    }

    /// The functions.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// How each table in memory follows the registry.
    #[must_use]
    pub fn projections(&self) -> Vec<ProjectionStatus> {
        let others = [self.catalog.status(), self.keys.status(), self.triggers.status()];
        self.var_store.status().into_iter().chain(others).collect()
    }

    /// The API keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The files of versions and layers.
    #[must_use]
    pub fn bundles(&self) -> &Arc<BundleStore> {
        &self.bundles
    }

    /// Runs and log lines.
    #[must_use]
    pub fn history(&self) -> &HistoryReader {
        &self.runs.history_reader
    }

    /// The runtimes of this machine.
    #[must_use]
    pub fn launcher(&self) -> &dyn Launcher {
        &*self.launcher
    }

    /// The instances of this node.
    #[must_use]
    pub fn scheduler(&self) -> &SchedulerDriver {
        &self.scheduler
    }

    /// The functions of a snapshot by name; those with the same name in several projects are added up.
    #[must_use]
    pub fn load_by_name(&self, snapshot: &SchedulerSnapshot) -> BTreeMap<String, FunctionLoad> {
        let mut named = BTreeMap::<String, FunctionLoad>::new();
        for (id, function) in &snapshot.functions {
            if let Some(entry) = self.catalog.any_by_id(*id) {
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
        let (lifecycle, scheduler) = (&self.lifecycle, &self.scheduler);
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
        self.keys.keep_uses().await;
        self.background.lock().drain(..).for_each(|task| task.abort());
    }
}

/// Tells the launcher what kinds of instances may be wanted, until aborted.
async fn anticipate(launcher: Arc<dyn Launcher>, catalog: Arc<Catalog>) {
    loop {
        launcher.anticipate(catalog.live_kinds());
        catalog.live_kinds_changed().await;
    }
}
