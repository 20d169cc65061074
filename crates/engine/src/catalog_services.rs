//! The services of the catalog, opened on the ports.

use std::sync::Arc;

use faas_catalog::{
    FunctionDeps, Functions, InstanceRefresher, NetworkDeps, NetworkPolicies, Rekeyer, SealedKind, SecretDeps,
    SecretRecord, Secrets, VarDeps, VarSettings,
};
use faas_runs::completion::SigningSecrets;
use faas_triggers::TriggerRecord;

use crate::core::Core;
use crate::engine::Ports;

/// The services that change what the catalog holds.
pub(crate) struct CatalogServices {
    pub(crate) functions: Arc<Functions>,
    pub(crate) vars: Arc<VarSettings>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) network: Arc<NetworkPolicies>,
    pub(crate) rekeyer: Arc<Rekeyer>,
}

// === impl CatalogServices ===

impl CatalogServices {
    /// Opens the services on what they share.
    pub(crate) fn new(core: &Core, ports: &Ports) -> Self {
        let refresher = Arc::clone(&core.runs) as Arc<dyn InstanceRefresher>;
        let functions = Arc::new(Functions::new(FunctionDeps {
            registry: Arc::clone(&ports.registry),
            clock: Arc::clone(&ports.clock),
            ids: Arc::clone(&ports.ids),
            catalog: Arc::clone(&core.catalog),
            vars: Arc::clone(&core.vars),
            refresher: Arc::clone(&refresher),
        }));
        let vars = VarSettings::new(VarDeps {
            registry: Arc::clone(&ports.registry),
            vars: Arc::clone(&core.vars),
            functions: Arc::clone(&functions),
            refresher: Arc::clone(&refresher),
        });
        let secrets = Secrets::new(SecretDeps {
            registry: Arc::clone(&ports.registry),
            vault: Arc::clone(&ports.vault),
            clock: Arc::clone(&ports.clock),
            catalog: Arc::clone(&core.catalog),
            vars: Arc::clone(&core.vars),
            refresher,
        });
        let network = NetworkPolicies::new(NetworkDeps {
            networks: Arc::clone(&ports.networks),
            clock: Arc::clone(&ports.clock),
            catalog: Arc::clone(&core.catalog),
            functions: Arc::clone(&functions),
            stats: Arc::clone(&core.stats),
        });
        let kinds = vec![
            SealedKind::of::<SecretRecord>(),
            SealedKind::of::<TriggerRecord>(),
            SealedKind::of::<SigningSecrets>(),
        ];
        let rekeyer = Rekeyer::new(Arc::clone(&ports.registry), Arc::clone(&ports.vault), kinds);
        let (vars, secrets) = (Arc::new(vars), Arc::new(secrets));
        Self { functions, vars, secrets, network: Arc::new(network), rekeyer: Arc::new(rekeyer) }
    }
}
