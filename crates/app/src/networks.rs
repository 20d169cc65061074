//! The network of functions: who connects for them, by which rules.

use std::sync::Arc;

use faas_config::EgressSection;
use faas_outbound::{Broker, BrokerConfig, BrokerLimits, GrantedNetwork, OperatorRules, SourceAddresses};
use faas_sandbox::{LinuxNetworkProcesses, SpawnerCommand};

use crate::NETWORK;

/// Starts nothing until a function with a network does.
pub(crate) fn broker(section: &EgressSection) -> Broker {
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
        resolvers: section.resolvers.iter().map(|resolver| resolver.0).collect(),
        source: SourceAddresses { v4: section.source_address.v4, v6: section.source_address.v6 },
        limits: BrokerLimits {
            connections: section.connections,
            project_connections: section.project_connections,
            connect_rate: section.connect_rate,
            project_connect_rate: section.project_connect_rate,
            query_rate: section.query_rate,
            project_query_rate: section.project_query_rate,
        },
    };
    Broker::new(config, Arc::new(LinuxNetworkProcesses::new(SpawnerCommand::this_program(NETWORK))))
}
