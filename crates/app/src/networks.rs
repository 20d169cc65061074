//! The network of functions: who connects for them, by which rules.

use std::sync::Arc;

use faas_config::EgressSection;
use faas_outbound::{
    Broker, BrokerConfig, Dialer, GrantedNetwork, HostView, OperatorRules, SourceAddresses, connecting_max,
};
use faas_sandbox::{LinuxNetworkProcesses, SpawnerCommand};

use crate::{NETWORK, descriptors};

/// What this machine is and how it connects, for functions, builds and callbacks alike.
#[derive(Clone)]
pub(crate) struct Outside {
    pub(crate) host: Arc<HostView>,
    pub(crate) dialer: Arc<Dialer>,
}

// === impl Outside ===

impl Outside {
    pub(crate) fn new(section: &EgressSection) -> Self {
        let source = SourceAddresses { v4: section.source_address.v4, v6: section.source_address.v6 };
        let resolvers = section.resolvers.iter().map(|resolver| resolver.0).collect();
        let dialer = Dialer::new(source, section.proxy.clone());
        Self { host: Arc::new(HostView::new(resolvers, source)), dialer: Arc::new(dialer) }
    }
}

/// Starts nothing until a function with a network does.
pub(crate) fn broker(section: &EgressSection, outside: Outside) -> Broker {
    let networks = section.networks.iter().map(|(name, network)| GrantedNetwork {
        name: name.clone(),
        targets: network.targets.clone(),
        projects: network.projects.clone(),
    });
    let config = BrokerConfig {
        operator: OperatorRules {
            deny: section.deny.clone(),
            open: section.private.clone(),
            networks: networks.collect(),
            ..OperatorRules::default()
        },
        host: outside.host,
        dialer: outside.dialer,
        connecting: connecting_max(descriptors::limit()),
        limits: section.limits(),
    };
    Broker::new(config, Arc::new(LinuxNetworkProcesses::new(SpawnerCommand::this_program(NETWORK))))
}
