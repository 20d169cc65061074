//! The service that deploys versions and moves aliases.

use std::sync::Arc;

use faas_artifacts::{BundleStore, UploadLeases};
use faas_catalog::{Catalog, Functions, InstanceRefresher, NetworkPolicies, VarStore};
use faas_ports::{Clock, IdSource, KeyedLock, Launcher, Registry, Vault};
use faas_runs::Runs;
use faas_runs::lifecycle::Lifecycle;
use faas_scheduler::SchedulerDriver;
use faas_telemetry::Stats;
use faas_triggers::Triggers;
use faas_types::{FunctionName, ProjectId};

use crate::dependencies::PackageInstaller;
use crate::jobs::Jobs;
use crate::layers::LayerCatalog;
use crate::upload_rules::UploadRules;

/// Ports and lower services that deployments need.
#[expect(missing_docs, reason = "each field is the port or service of its type")]
pub struct DeploymentDeps {
    pub registry: Arc<dyn Registry>,
    pub vault: Arc<dyn Vault>,
    pub launcher: Arc<dyn Launcher>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdSource>,
    pub catalog: Arc<Catalog>,
    pub functions: Arc<Functions>,
    pub vars: Arc<VarStore>,
    pub network: Arc<NetworkPolicies>,
    pub refresher: Arc<dyn InstanceRefresher>,
    pub scheduler: Arc<SchedulerDriver>,
    pub stats: Arc<Stats>,
    pub runs: Arc<Runs>,
    pub triggers: Arc<Triggers>,
    pub bundles: Arc<BundleStore>,
    pub leases: Arc<UploadLeases>,
    pub rules: Arc<UploadRules>,
    pub layers: Arc<LayerCatalog>,
    pub installer: Arc<PackageInstaller>,
    pub lifecycle: Arc<Lifecycle>,
    /// Versions of a function that are kept in any case.
    pub versions_kept: u32,
}

/// Deploys versions, moves aliases, and drops versions that nothing needs any more.
pub struct Deployments {
    pub(crate) deps: DeploymentDeps,
    /// Held while a function is deployed.
    pub(crate) deploying: KeyedLock<(ProjectId, FunctionName)>,
    /// What is under way.
    pub(crate) jobs: Jobs,
}

// === impl Deployments ===

impl Deployments {
    /// The service on its ports. Canaries and previews stand still before [`start`](Self::start).
    #[must_use]
    pub fn new(deps: DeploymentDeps) -> Self {
        Self { deps, deploying: KeyedLock::default(), jobs: Jobs::default() }
    }
}
