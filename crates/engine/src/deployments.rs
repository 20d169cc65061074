//! Deployments: versions and the aliases that point to them.

use std::sync::Arc;

use faas_catalog::{Functions, InstanceRefresher, NetworkPolicies};
use faas_ports::KeyedLock;
use faas_types::{FunctionName, ProjectId};

use crate::core::Core;
use crate::dependencies::PackageInstaller;
use crate::layers::LayerCatalog;

/// Deploys versions, moves aliases, and drops what nothing needs any more.
pub struct Deployments {
    pub(crate) core: Arc<Core>,
    pub(crate) functions: Arc<Functions>,
    pub(crate) network: Arc<NetworkPolicies>,
    pub(crate) refresher: Arc<dyn InstanceRefresher>,
    pub(crate) layers: Arc<LayerCatalog>,
    pub(crate) installer: Arc<PackageInstaller>,
    /// Versions of a function that are kept in any case.
    pub(crate) versions_kept: u32,
    /// Held while a function is deployed.
    pub(crate) deploying: KeyedLock<(ProjectId, FunctionName)>,
}

// === impl Deployments ===

impl Deployments {
    pub(crate) fn new(
        core: Arc<Core>,
        functions: Arc<Functions>,
        network: Arc<NetworkPolicies>,
        layers: Arc<LayerCatalog>,
        installer: Arc<PackageInstaller>,
        versions_kept: u32,
    ) -> Self {
        let refresher = Arc::clone(&core.runs) as Arc<dyn InstanceRefresher>;
        Self { core, functions, network, refresher, layers, installer, versions_kept, deploying: KeyedLock::default() }
    }
}
