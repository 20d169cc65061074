//! The boundary around untrusted code.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use faas_types::{IsolationLevel, IsolationReport, NetworkMode, SandboxId};

use crate::{NetworkDevice, PortError, PortResult};

/// A read-only layer below the sandbox's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerMount {
    /// The layer's directory on the host.
    pub source: PathBuf,
    /// Where it appears inside; absolute, and an existing directory of the root layer.
    pub target: PathBuf,
}

/// What the whole process tree of a sandbox may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SandboxLimits {
    /// Memory, page cache and tmpfs included.
    pub memory_bytes: u64,
    /// CPU share in thousandths of a core.
    pub cpu_millis: u32,
    /// Processes and threads.
    pub pids: u32,
    /// Size of the private `/tmp`.
    pub tmp_bytes: u64,
    /// Open files of each process.
    pub open_files: u64,
}

/// A sandbox to open.
#[derive(Clone, Debug)]
pub struct SandboxSpec {
    /// Its id; names its cgroup.
    pub id: SandboxId,
    /// The root layer: a directory with at least `/proc`, `/dev` and `/tmp` as empty directories. Mounted read-only.
    pub root: PathBuf,
    /// Further read-only layers.
    pub mounts: Vec<LayerMount>,
    /// The program and its arguments, as paths inside.
    pub argv: Vec<String>,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(String, String)>,
    /// The working directory inside.
    pub cwd: PathBuf,
    /// What the tree may use.
    pub limits: SandboxLimits,
    /// What it may reach.
    pub network: NetworkMode,
    /// Whether [`SandboxControl::connect`] leads to what listens inside.
    pub port_forward: bool,
    /// The weakest level that is acceptable.
    pub min_isolation: IsolationLevel,
}

/// An open sandbox whose program has been started.
pub struct OpenSandbox {
    /// Our end of the Unix stream socket that the program has as file descriptor 3.
    pub channel: OwnedFd,
    /// Reads the program's standard output.
    pub stdout: OwnedFd,
    /// Reads the program's standard error.
    pub stderr: OwnedFd,
    /// Kills and observes it. Dropping it kills the whole tree.
    pub control: Box<dyn SandboxControl>,
    /// Its device, where the spec asked for [`NetworkMode::Egress`] and the sandbox confines. Programs inside may use it
    /// from the start: what they send waits until the device is served.
    pub network: Option<NetworkDevice>,
}

/// How a sandbox's program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SandboxExit {
    /// Its exit status; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether the memory limit was the cause.
    pub out_of_memory: bool,
    /// Resources of the whole tree over its life.
    pub usage: SandboxUsage,
}

/// What a sandbox has used; `None` where the machine cannot measure it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SandboxUsage {
    /// Most memory held at once.
    pub peak_memory_bytes: Option<u64>,
    /// CPU time.
    pub cpu_us: Option<u64>,
}

/// Processes and threads in a sandbox, without those that only help with a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessCount {
    /// Processes.
    pub processes: u32,
    /// Threads of all of them.
    pub threads: u32,
}

/// A sandbox opened ahead of time, before its function is known. Its program runs; nothing of a function is inside.
pub struct ParkedSandbox {
    /// The sandbox.
    pub sandbox: OpenSandbox,
    /// Assigns it to one function. After it is dropped, the sandbox can no longer be assigned.
    pub assigner: Box<dyn Assigner>,
}

/// What a parked sandbox gets when it is assigned to a function.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Layers that it did not have before.
    pub mounts: Vec<LayerMount>,
    /// Memory that the tree may use.
    pub memory_bytes: u64,
    /// CPU share in thousandths of a core.
    pub cpu_millis: u32,
    /// What it may reach.
    pub network: NetworkMode,
    /// The weakest level that is acceptable.
    pub min_isolation: IsolationLevel,
}

/// Opens sandboxes.
#[async_trait]
pub trait Sandboxes: Send + Sync {
    /// Opens a stack of layers, starts the program and returns once it is past `execve`.
    async fn open(&self, spec: SandboxSpec) -> PortResult<OpenSandbox>;

    /// Opens a sandbox ahead of time. Its network is off until it is assigned, whatever `spec` says.
    ///
    /// # Errors
    /// [`PortError::Isolation`](crate::PortError::Isolation) where that would be weaker than [`open`](Self::open).
    async fn park(&self, spec: SandboxSpec) -> PortResult<ParkedSandbox> {
        drop(spec);
        Err(PortError::Isolation("sandboxes are not opened ahead of time here".to_owned()))
    }

    /// Starts a program that is forked to fill sandboxes, over the layers of `spec`. It must follow the protocol of
    /// `docs/ARCHITECTURE.md`, and run no code of users.
    ///
    /// # Errors
    /// As for [`park`](Self::park).
    async fn zygote(&self, spec: SandboxSpec) -> PortResult<Arc<dyn Zygote>> {
        drop(spec);
        Err(PortError::Isolation("sandboxes are not filled by forks here".to_owned()))
    }

    /// What this machine enforces; probed once, in throwaway sandboxes.
    fn report(&self) -> &IsolationReport;
}

/// A program that waits to be forked.
#[async_trait]
pub trait Zygote: Send + Sync {
    /// Like [`Sandboxes::park`], with a fork in place of the program that `spec` names. The fork receives the program's
    /// arguments. Returns when the fork is confined. Fails at once when the zygote has ended.
    async fn park(&self, spec: SandboxSpec) -> PortResult<ParkedSandbox>;

    /// Waits until it has ended, and with it the chance of further forks.
    async fn exited(&self) -> SandboxExit;
}

/// Makes a parked sandbox the sandbox of one function.
#[async_trait]
pub trait Assigner: Send + Sync {
    /// Turns the sandbox into what [`Sandboxes::open`] would have made with these layers, limits and network, and returns
    /// its device where it has one. When it fails, the sandbox must be thrown away.
    async fn assign(self: Box<Self>, assignment: Assignment) -> PortResult<Option<NetworkDevice>>;
}

/// One open sandbox.
#[async_trait]
pub trait SandboxControl: Send + Sync {
    /// The level that holds for this sandbox.
    fn level(&self) -> IsolationLevel;

    /// What the tree has used so far.
    fn usage(&self) -> SandboxUsage;

    /// How many processes and threads there are right now, its own first ones included; `None` where that cannot be told.
    /// Cheap enough to ask after every call.
    fn tasks(&self) -> Option<u32> {
        None
    }

    /// How many processes there are, threads not counted, nor processes that only help with a start. Costs more.
    fn processes(&self) -> Option<u32> {
        None
    }

    /// Processes and threads inside, without zombies and without processes that only help with a start. Costs as much
    /// again.
    fn process_count(&self) -> Option<ProcessCount> {
        None
    }

    /// Connects to a port of the loopback interface inside. What answers there is as little to be trusted as all inside.
    ///
    /// # Errors
    /// [`PortError::Closed`](crate::PortError::Closed) when the sandbox has ended or was opened without `port_forward`; others when
    /// nothing listens there.
    async fn connect(&self, port: u16) -> PortResult<OwnedFd> {
        let _ = port;
        Err(PortError::Closed("the way into the sandbox"))
    }

    /// Kills every process inside. Returns at once; [`wait`](Self::wait) tells when it is done.
    fn kill(&self);

    /// Waits until no process is left and the cgroup is gone. May be called again; then answers at once.
    async fn wait(&self) -> SandboxExit;
}
