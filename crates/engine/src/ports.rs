//! The ports that an engine runs on.

use std::sync::Arc;

use faas_ports::{
    Blobs, Builder, Callbacks, Claims, Clock, DeadLetters, Events, IdSource, Launcher, Layers, Networks, Outbound,
    Registry, RunHistory, RunQueue, Topics, Vault,
};

/// The ports that an engine runs on.
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
