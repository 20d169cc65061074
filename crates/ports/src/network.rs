//! The network of a sandbox: what its programs send goes through a device to a process that speaks TCP, UDP and DNS for
//! them, and each connection is made by the server, which checks it first.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use async_trait::async_trait;
use faas_types::{EgressPolicy, FunctionName, InstanceId, ProjectId};
use tokio::sync::{mpsc, watch};

use crate::{PortError, PortResult};

/// The network device of a sandbox.
pub struct NetworkDevice {
    /// A TUN device: whole packets, each with a `virtio_net_hdr` of [`NetworkPlan::HEADER`](faas_types::NetworkPlan::HEADER) bytes before it. Up, with addresses
    /// and routes; checksums and segmentation are left to its reader.
    pub device: OwnedFd,
    /// The sandbox's first process, whose end is the device's end: a descriptor of the device would keep it otherwise.
    pub process: OwnedFd,
}

/// Whose connections they are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its type says")]
pub struct NetworkOwner {
    pub project: ProjectId,
    pub function: FunctionName,
    pub instance: InstanceId,
}

/// An event of an instance's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkEvent {
    /// An attempt that the rules refused.
    Denied(NetworkDenial),
    /// The process that spoke for the sandbox ended: connections were lost, new ones work.
    Interrupted,
}

/// A refused attempt, as it is shown to the function's author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkDenial {
    /// Name that was looked up or connected to, or the address where no name led there.
    pub host: String,
    /// Port; `None` for a look-up.
    pub port: Option<u16>,
    /// `tcp`, `udp` or `dns`; `network` where a private network was asked for that is not there.
    pub protocol: &'static str,
    /// The rule that refused it, in words.
    pub rule: String,
    /// The setting that would allow it, and its value.
    pub key: String,
    /// Further attempts of the same kind since the last event, which were not reported one by one.
    pub repeated: u64,
}

/// What an instance has done with its network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkUsage {
    /// Connections made.
    pub connections: u64,
    /// Connections that are open.
    pub open: u64,
    /// Attempts that were refused by rules.
    pub denied: u64,
    /// Bytes sent by the sandbox.
    pub sent: u64,
    /// Bytes received by the sandbox.
    pub received: u64,
}

/// Gives sandboxes a network.
#[async_trait]
pub trait Networks: Send + Sync {
    /// Begins to serve a device. `policy` is looked at again when it changes, also for connections that are open. `events`
    /// is never waited for: what does not fit is counted and told with the next one.
    ///
    /// # Errors
    /// [`PortError::Isolation`] where this machine has no network for functions.
    async fn attach(
        &self,
        device: NetworkDevice,
        owner: NetworkOwner,
        policy: watch::Receiver<Arc<EgressPolicy>>,
        events: mpsc::Sender<NetworkEvent>,
    ) -> PortResult<Box<dyn NetworkLease>>;
}

/// The network of one instance. Dropping it closes its connections.
pub trait NetworkLease: Send + Sync {
    /// What it has done so far.
    fn usage(&self) -> NetworkUsage;
}

/// Starts the confined process that speaks for sandboxes.
pub trait NetworkProcesses: Send + Sync {
    /// Starts another one and waits until it is confined and has said its first word, which is left to be read. Returns our
    /// end of its control socket, a `SOCK_SEQPACKET` that does not block. The process ends when that is closed; the socket
    /// hangs up when the process has ended. Blocks for some milliseconds, and for seconds where something is wrong.
    ///
    /// # Errors
    /// Why it does not run.
    fn start(&self) -> PortResult<OwnedFd>;
}

/// Stands in where functions have no network.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNetworks;

// === impl NoNetworks ===

#[async_trait]
impl Networks for NoNetworks {
    async fn attach(
        &self,
        _: NetworkDevice,
        _: NetworkOwner,
        _: watch::Receiver<Arc<EgressPolicy>>,
        _: mpsc::Sender<NetworkEvent>,
    ) -> PortResult<Box<dyn NetworkLease>> {
        Err(PortError::Isolation("functions have no network here".to_owned()))
    }
}
