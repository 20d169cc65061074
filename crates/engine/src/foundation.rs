//! What the services of an engine share, and how each is opened on it.

use std::sync::Arc;

use faas_artifacts::{BundleStore, UploadLeases};
use faas_catalog::{
    Catalog, FunctionDeps, Functions, InstanceRefresher, Keys, NetworkDeps, NetworkPolicies, Rekeyer, SealedKind,
    SecretDeps, SecretRecord, Secrets, VarDeps, VarSettings, VarStore,
};
use faas_deployments::{
    DeploymentDeps, Deployments, GarbageCollector, GcDeps, GcPolicy, InstallerDeps, LayerCatalog, LayerDeps,
    PackageInstaller, UploadDeps, UploadRules, Uploads,
};
use faas_runs::completion::SigningSecrets;
use faas_runs::dispatch::Feeds;
use faas_runs::lifecycle::Lifecycle;
use faas_runs::runs::{RunDeps, Runs};
use faas_scheduler::{DriverDeps, SchedulerDriver};
use faas_telemetry::{HistoryReader, Recorder, Stats};
use faas_triggers::{TriggerDeps, TriggerRecord, Triggers};
use faas_types::Fault;

use crate::ports::Ports;
use crate::settings::EngineSettings;

/// The ports, the tables in memory, and what lies below runs. Only for opening the services: none of them holds it.
pub(crate) struct Foundation {
    pub(crate) ports: Ports,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) vars: Arc<VarStore>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) bundles: Arc<BundleStore>,
    pub(crate) scheduler: Arc<SchedulerDriver>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    leases: Arc<UploadLeases>,
    recorder: Recorder,
}

/// The services that change what the catalog holds.
pub(crate) struct CatalogServices {
    pub(crate) functions: Arc<Functions>,
    pub(crate) vars: Arc<VarSettings>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) network: Arc<NetworkPolicies>,
    pub(crate) rekeyer: Arc<Rekeyer>,
}

/// The services that a deployment's files pass.
pub(crate) struct UploadServices {
    pub(crate) rules: Arc<UploadRules>,
    pub(crate) uploads: Arc<Uploads>,
    pub(crate) layers: Arc<LayerCatalog>,
    installer: Arc<PackageInstaller>,
}

// === impl Foundation ===

impl Foundation {
    /// Loads the tables in memory.
    pub(crate) async fn open(ports: Ports, settings: &EngineSettings) -> Result<Self, Fault> {
        let catalog = Catalog::start(Arc::clone(&ports.registry)).await?;
        let vars = VarStore::start(Arc::clone(&ports.registry), Arc::clone(&ports.vault)).await?;
        let keys = Keys::start(Arc::clone(&ports.registry), Arc::clone(&ports.clock), Arc::clone(&ports.ids)).await?;
        let stats = Arc::new(Stats::new(settings.metric_labels_max));
        let lifecycle = Arc::<Lifecycle>::default();
        let (history, events) = (Arc::clone(&ports.history), Arc::clone(&ports.events));
        let recorder = Recorder::start(history, events, Arc::clone(&stats), settings.give_way)?;
        let deps = DriverDeps {
            launcher: Arc::clone(&ports.launcher),
            clock: Arc::clone(&ports.clock),
            ids: Arc::clone(&ports.ids),
            recorder: recorder.clone(),
            stats: Arc::clone(&stats),
            tasks: lifecycle.tasks().clone(),
        };
        let scheduler = SchedulerDriver::new(settings.limits(), deps);
        let bundles = Arc::new(BundleStore::new(Arc::clone(&ports.blobs), Arc::clone(&ports.layers)));
        let leases = Arc::new(UploadLeases::new(ports.clock.now()));
        Ok(Self { ports, catalog, vars, keys, stats, bundles, scheduler, lifecycle, leases, recorder })
    }

    pub(crate) async fn open_runs(&self, settings: &EngineSettings) -> Result<(Arc<Runs>, Feeds), Fault> {
        let Self { ports, recorder, .. } = self;
        let (history, events) = (Arc::clone(&ports.history), Arc::clone(&ports.events));
        let stop = self.lifecycle.token().clone();
        let deps = RunDeps {
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
            catalog: Arc::clone(&self.catalog),
            vars: Arc::clone(&self.vars),
            scheduler: Arc::clone(&self.scheduler),
            stats: Arc::clone(&self.stats),
            recorder: recorder.clone(),
            history_reader: HistoryReader::new(history, events, recorder.clone(), stop),
            bundles: Arc::clone(&self.bundles),
            leases: Arc::clone(&self.leases),
            lifecycle: Arc::clone(&self.lifecycle),
        };
        Ok(Runs::open(deps, &settings.runs()).await?)
    }

    pub(crate) async fn open_triggers(&self, runs: &Arc<Runs>) -> Result<Arc<Triggers>, Fault> {
        let ports = &self.ports;
        let deps = TriggerDeps {
            registry: Arc::clone(&ports.registry),
            topics: Arc::clone(&ports.topics),
            vault: Arc::clone(&ports.vault),
            clock: Arc::clone(&ports.clock),
            ids: Arc::clone(&ports.ids),
            catalog: Arc::clone(&self.catalog),
            runs: Arc::clone(runs),
            lifecycle: Arc::clone(&self.lifecycle),
        };
        Ok(Triggers::open(deps).await?)
    }

    pub(crate) fn catalog_services(&self, runs: &Arc<Runs>) -> CatalogServices {
        let ports = &self.ports;
        let refresher = Arc::clone(runs) as Arc<dyn InstanceRefresher>;
        let functions = Arc::new(Functions::new(FunctionDeps {
            registry: Arc::clone(&ports.registry),
            clock: Arc::clone(&ports.clock),
            ids: Arc::clone(&ports.ids),
            catalog: Arc::clone(&self.catalog),
            vars: Arc::clone(&self.vars),
            refresher: Arc::clone(&refresher),
        }));
        let vars = Arc::new(VarSettings::new(VarDeps {
            registry: Arc::clone(&ports.registry),
            vars: Arc::clone(&self.vars),
            functions: Arc::clone(&functions),
            refresher: Arc::clone(&refresher),
        }));
        let secrets = Arc::new(Secrets::new(SecretDeps {
            registry: Arc::clone(&ports.registry),
            vault: Arc::clone(&ports.vault),
            clock: Arc::clone(&ports.clock),
            catalog: Arc::clone(&self.catalog),
            vars: Arc::clone(&self.vars),
            refresher,
        }));
        let network = Arc::new(NetworkPolicies::new(NetworkDeps {
            networks: Arc::clone(&ports.networks),
            clock: Arc::clone(&ports.clock),
            catalog: Arc::clone(&self.catalog),
            functions: Arc::clone(&functions),
            stats: Arc::clone(&self.stats),
        }));
        let kinds = vec![
            SealedKind::of::<SecretRecord>(),
            SealedKind::of::<TriggerRecord>(),
            SealedKind::of::<SigningSecrets>(),
        ];
        let rekeyer = Arc::new(Rekeyer::new(Arc::clone(&ports.registry), Arc::clone(&ports.vault), kinds));
        CatalogServices { functions, vars, secrets, network, rekeyer }
    }

    pub(crate) fn upload_services(&self, settings: &EngineSettings) -> UploadServices {
        let ports = &self.ports;
        let rules = Arc::new(UploadRules::new(
            Arc::clone(&ports.registry),
            Arc::clone(&ports.blobs),
            Arc::clone(&ports.clock),
            Arc::clone(&settings.preflight),
        ));
        let deps = InstallerDeps {
            registry: Arc::clone(&ports.registry),
            blobs: Arc::clone(&ports.blobs),
            launcher: Arc::clone(&ports.launcher),
            builder: Arc::clone(&ports.builder),
            clock: Arc::clone(&ports.clock),
            bundles: Arc::clone(&self.bundles),
            stop: self.lifecycle.token().clone(),
        };
        let installer = Arc::new(PackageInstaller::new(deps, settings.builds_max));
        let layers = Arc::new(LayerCatalog::new(LayerDeps {
            registry: Arc::clone(&ports.registry),
            clock: Arc::clone(&ports.clock),
            catalog: Arc::clone(&self.catalog),
            bundles: Arc::clone(&self.bundles),
            leases: Arc::clone(&self.leases),
            rules: Arc::clone(&rules),
            installer: Arc::clone(&installer),
            stop: self.lifecycle.token().clone(),
        }));
        let uploads = Arc::new(Uploads::new(UploadDeps {
            blobs: Arc::clone(&ports.blobs),
            clock: Arc::clone(&ports.clock),
            bundles: Arc::clone(&self.bundles),
            leases: Arc::clone(&self.leases),
            rules: Arc::clone(&rules),
        }));
        UploadServices { rules, uploads, layers, installer }
    }

    pub(crate) fn deployments(
        &self,
        runs: &Arc<Runs>,
        triggers: &Arc<Triggers>,
        catalog: &CatalogServices,
        uploads: &UploadServices,
        versions_kept: u32,
    ) -> Arc<Deployments> {
        let ports = &self.ports;
        Arc::new(Deployments::new(DeploymentDeps {
            registry: Arc::clone(&ports.registry),
            vault: Arc::clone(&ports.vault),
            launcher: Arc::clone(&ports.launcher),
            clock: Arc::clone(&ports.clock),
            ids: Arc::clone(&ports.ids),
            catalog: Arc::clone(&self.catalog),
            functions: Arc::clone(&catalog.functions),
            vars: Arc::clone(&self.vars),
            network: Arc::clone(&catalog.network),
            refresher: Arc::clone(runs) as Arc<dyn InstanceRefresher>,
            scheduler: Arc::clone(&self.scheduler),
            stats: Arc::clone(&self.stats),
            runs: Arc::clone(runs),
            triggers: Arc::clone(triggers),
            bundles: Arc::clone(&self.bundles),
            leases: Arc::clone(&self.leases),
            rules: Arc::clone(&uploads.rules),
            layers: Arc::clone(&uploads.layers),
            installer: Arc::clone(&uploads.installer),
            lifecycle: Arc::clone(&self.lifecycle),
            versions_kept,
        }))
    }

    pub(crate) fn gc(&self, runs: &Runs, policy: GcPolicy) -> Arc<GarbageCollector> {
        let ports = &self.ports;
        let deps = GcDeps {
            registry: Arc::clone(&ports.registry),
            letters: Arc::clone(&runs.dispatch.letters),
            blobs: Arc::clone(&ports.blobs),
            layers: Arc::clone(&ports.layers),
            clock: Arc::clone(&ports.clock),
            bundles: Arc::clone(&self.bundles),
            leases: Arc::clone(&self.leases),
            catalog: Arc::clone(&self.catalog),
            scheduler: Arc::clone(&self.scheduler),
            stop: self.lifecycle.token().clone(),
        };
        Arc::new(GarbageCollector::new(deps, policy))
    }
}
