//! The network of a sandbox: what its programs send goes through a device to a process that speaks TCP, UDP and DNS for
//! them, and each connection is made by the server, which checks it first.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_types::{EgressPolicy, FunctionName, InstanceId, NetworkName, ProjectId, Transport};
use tokio::sync::{mpsc, watch};

use crate::{NetworkCounters, PortError, PortResult};

/// The network device of a sandbox.
pub struct NetworkDevice {
    /// A TUN device: whole packets, each with a `virtio_net_hdr` of
    /// [`NetworkPlan::HEADER`](faas_types::NetworkPlan::HEADER) bytes before it. Up, with addresses and routes; checksums
    /// and segmentation are left to its reader.
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

/// What an instance may reach, and where what it does is counted.
#[derive(Clone, Debug)]
pub struct NetworkAccess {
    /// Looked at again when it changes, also for connections that are open.
    pub policy: watch::Receiver<Arc<EgressPolicy>>,
    /// Shared by the instances of a function.
    pub counters: Arc<NetworkCounters>,
}

/// An event of an instance's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkEvent {
    /// An attempt that the rules refused.
    Denied(NetworkDenial),
    /// A connection has ended, where the policy asks for a report of each.
    Closed(ClosedConnection),
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

/// A connection that has ended, as it is shown to the function's author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedConnection {
    /// The name that the client gave, or one that led to the address; `None` where none did.
    pub host: Option<String>,
    /// Where it went.
    pub address: IpAddr,
    /// The port there.
    pub port: u16,
    /// What it was made with.
    pub transport: Transport,
    /// Bytes that the sandbox sent.
    pub sent: u64,
    /// Bytes that it received.
    pub received: u64,
    /// How long it stood.
    pub lasted: Duration,
    /// Connections that ended since the last event and were not reported.
    pub unreported: u64,
}

/// What a function would connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkTarget {
    /// A name in lower case or an address.
    pub host: String,
    /// The port there; not 0.
    pub port: u16,
    /// What it would connect with.
    pub transport: Transport,
}

/// What became of a connection that was tried in a function's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkTrial {
    /// The addresses that the name leads to, each with the decision on it, in the order of the tries.
    pub addresses: Vec<(IpAddr, NetworkDecision)>,
    /// The decision on the whole: on the address that was connected to, or why there is no connection.
    pub decision: NetworkDecision,
    /// What became of it.
    pub outcome: TrialOutcome,
    /// How long the look-up took; `None` for an address.
    pub look_up: Option<Duration>,
}

/// What the rules say of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkDecision {
    /// Whether it may be made.
    pub allowed: bool,
    /// The rule that decided, in words.
    pub rule: String,
    /// The setting that would allow it, and its value; where it is allowed, the setting that does.
    pub key: String,
}

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialOutcome {
    /// A connection was made, and closed again. For UDP, which has none, the address can be sent to.
    Connected {
        /// Where to.
        address: IpAddr,
        /// How long that took.
        took: Duration,
    },
    /// A rule refused it.
    Denied,
    /// The name leads nowhere.
    NoAddress,
    /// No name server answered.
    LookUpFailed,
    /// The far end refused it.
    Refused,
    /// No way leads there.
    Unreachable,
    /// The far end did not answer in time.
    TimedOut,
}

/// Gives sandboxes a network.
#[async_trait]
pub trait Networks: Send + Sync {
    /// Begins to serve a device. `events` is never waited for: what does not fit is counted and told with the next one.
    ///
    /// # Errors
    /// [`PortError::Isolation`] where this machine has no network for functions.
    async fn attach(
        &self,
        device: NetworkDevice,
        owner: NetworkOwner,
        access: NetworkAccess,
        events: mpsc::Sender<NetworkEvent>,
    ) -> PortResult<Box<dyn NetworkLease>>;

    /// The private networks that functions of a project may ask for.
    fn granted(&self, project: ProjectId) -> BTreeSet<NetworkName>;

    /// Decides on a connection as on one of a function with this policy, and makes it where it may be made. Nothing is
    /// sent or read. Takes seconds where the far end does not answer.
    ///
    /// # Errors
    /// [`PortError::Full`] when the project has just tried too many.
    async fn try_connection(
        &self,
        project: ProjectId,
        policy: &EgressPolicy,
        target: &NetworkTarget,
    ) -> PortResult<NetworkTrial>;
}

/// The network of one instance. Dropping it closes its connections.
pub trait NetworkLease: Send + Sync {
    /// A run has ended: the next run's refused attempts are reported again.
    fn run_ended(&self);
}

/// A confined process that speaks for sandboxes.
pub struct NetworkProcess {
    /// Our end of its control socket, a `SOCK_SEQPACKET` that does not block. The process ends when that is closed; it hangs
    /// up when the process has ended.
    pub control: OwnedFd,
    /// Ends the process at once, whatever it does.
    pub kill: Box<dyn FnOnce() + Send>,
}

/// Starts the confined process that speaks for sandboxes.
pub trait NetworkProcesses: Send + Sync {
    /// Starts another one and waits until it is confined and has said its first word, which is left to be read. Blocks for
    /// some milliseconds, and for seconds where something is wrong.
    ///
    /// # Errors
    /// Why it does not run.
    fn start(&self) -> PortResult<NetworkProcess>;
}

/// Stands in where functions have no network.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNetworks;

// === impl NetworkAccess ===

impl NetworkAccess {
    /// A policy that does not change, with private counters.
    #[must_use]
    pub fn constant(policy: EgressPolicy) -> Self {
        let (_, policy) = watch::channel(Arc::new(policy));
        Self { policy, counters: Arc::default() }
    }
}

// === impl NoNetworks ===

#[async_trait]
impl Networks for NoNetworks {
    async fn attach(
        &self,
        _: NetworkDevice,
        _: NetworkOwner,
        _: NetworkAccess,
        _: mpsc::Sender<NetworkEvent>,
    ) -> PortResult<Box<dyn NetworkLease>> {
        Err(PortError::Isolation("functions have no network here".to_owned()))
    }

    fn granted(&self, _: ProjectId) -> BTreeSet<NetworkName> {
        BTreeSet::new()
    }

    async fn try_connection(&self, _: ProjectId, _: &EgressPolicy, _: &NetworkTarget) -> PortResult<NetworkTrial> {
        Err(PortError::Isolation("functions have no network here".to_owned()))
    }
}
