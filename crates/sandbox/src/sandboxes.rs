//! Opens sandboxes with the means of the Linux kernel.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use faas_ports::{
    NetworkDevice, OpenSandbox, ParkedSandbox, PortError, PortResult, SandboxControl, SandboxSpec, Sandboxes, Zygote,
};
use faas_types::{Feature, IsolationLevel, IsolationReport, NetworkMode};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::unix::pipe;
use tokio::sync::Mutex;

use crate::child::{AssignOutcome, detached_layer};
use crate::config::SandboxConfig;
use crate::control::LinuxControl;
use crate::doctor;
use crate::lock;
use crate::pair::pair;
use crate::parked::park;
use crate::path_translation;
use crate::port_forward::PortForward;
use crate::problem::{OpenError, Problem};
use crate::spawner_client::SpawnerClient;
use crate::spawner_protocol::{Confinement, Handover, OpenRequest, Program, Settings, parse_status, receive};
use crate::sys;
use crate::zygote::LinuxZygote;

/// From the first process to the program; far more than it ever takes.
const SET_UP_PATIENCE: Duration = Duration::from_secs(20);

/// Sandboxes of the Linux kernel: namespaces, sealed layers, cgroups and a system call filter.
pub struct LinuxSandboxes {
    config: SandboxConfig,
    /// Replaced when the spawner has died.
    link: Mutex<Arc<SpawnerClient>>,
    report: IsolationReport,
    /// Whether sandboxes can be opened ahead of time and be as strong as others.
    parks: bool,
    stopped: AtomicBool,
}

/// The server's ends of a sandbox's descriptors.
pub(crate) struct Ends {
    channel: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    status: OwnedFd,
}

// === impl LinuxSandboxes ===

impl LinuxSandboxes {
    /// Starts the spawner, ends what an earlier server on the same data directory left, and probes this machine.
    ///
    /// Raises this process's limit of open files as far as it may. Succeeds where sandboxes are impossible; [`report`](Sandboxes::report) then says so and why.
    pub async fn start(config: SandboxConfig) -> PortResult<Self> {
        sys::allow_many_files();
        let link = Arc::new(connect(&config).await?);
        let report = doctor::examine(&link, &config).await?;
        // Needs the right to mount, which an ordinary user has only inside of its sandboxes.
        let parks = report.level == IsolationLevel::Full && detached_layer(&config.data_dir).is_ok();
        Ok(Self { config, link: Mutex::new(link), report, parks, stopped: AtomicBool::new(false) })
    }

    /// Kills every sandbox and waits until no process and no cgroup of them is left. Nothing can be opened afterwards.
    ///
    /// Dropping does the same without waiting.
    pub async fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        let link = Arc::clone(&*self.link.lock().await);
        link.stop().await;
    }

    async fn link(&self) -> PortResult<Arc<SpawnerClient>> {
        let mut link = self.link.lock().await;
        if self.stopped.load(Ordering::Acquire) {
            return Err(PortError::Closed("sandbox spawner"));
        }
        if link.is_closed() {
            tracing::warn!("starting another spawner of sandboxes");
            *link = Arc::new(connect(&self.config).await?);
        }
        Ok(Arc::clone(&link))
    }

    fn admit(&self, wanted: IsolationLevel) -> PortResult<()> {
        let level = self.report.level;
        if level == IsolationLevel::Process && !self.config.unsafe_no_isolation {
            let why = "this machine cannot confine functions; for your own code, start with --unsafe-no-isolation";
            return Err(PortError::Isolation(why.to_owned()));
        }
        admit(level, wanted)
    }

    fn may_have_network(&self) -> PortResult<()> {
        let probe = self.report.probes.iter().find(|probe| probe.feature == Feature::Egress);
        match probe {
            Some(probe) if !probe.enforced => {
                let fix = probe.fix.as_deref().unwrap_or_default();
                let why = format!("functions can have no network on this machine: {}; {fix}", probe.detail);
                Err(PortError::Isolation(why))
            }
            _ => Ok(()),
        }
    }

    fn may_park(&self) -> PortResult<()> {
        if self.parks { Ok(()) } else { Err(PortError::Isolation("this machine parks no sandboxes".to_owned())) }
    }
}

#[async_trait]
impl Sandboxes for LinuxSandboxes {
    async fn open(&self, spec: SandboxSpec) -> PortResult<OpenSandbox> {
        self.admit(spec.min_isolation)?;
        let plain = self.report.level == IsolationLevel::Process;
        if spec.network == NetworkMode::Egress && !plain {
            self.may_have_network()?;
        }
        let request = request(spec)?;
        let request = if plain {
            path_translation::translate(OpenRequest { confinement: Confinement::Plain, ..request })
        } else {
            request
        };
        Ok(launch(&*self.link().await?, request, self.report.level).await?)
    }

    async fn park(&self, spec: SandboxSpec) -> PortResult<ParkedSandbox> {
        self.may_park()?;
        let request = OpenRequest { parked: true, network: NetworkMode::None, ..request(spec)? };
        Ok(park(&*self.link().await?, request, self.report.level, None).await?)
    }

    async fn zygote(&self, spec: SandboxSpec) -> PortResult<Arc<dyn Zygote>> {
        self.may_park()?;
        Ok(Arc::new(LinuxZygote::start(self.link().await?, request(spec)?, self.report.level).await?))
    }

    fn report(&self) -> &IsolationReport {
        &self.report
    }
}

/// Whether a sandbox of this level may be had for what is wanted.
pub(crate) fn admit(level: IsolationLevel, wanted: IsolationLevel) -> PortResult<()> {
    if level < wanted {
        return Err(PortError::Isolation(format!("isolation level {wanted} is wanted, this machine gives {level}")));
    }
    Ok(())
}

/// The spawner has another working directory.
pub(crate) fn on_host(path: &Path) -> PortResult<PathBuf> {
    std::path::absolute(path).map_err(|error| PortError::io("finding a layer", error))
}

/// The request for a confined sandbox.
pub(crate) fn request(spec: SandboxSpec) -> PortResult<OpenRequest> {
    let mounts = spec.mounts.into_iter().map(|mount| Ok((on_host(&mount.source)?, mount.target)));
    Ok(OpenRequest {
        request: 0,
        name: spec.id.to_string(),
        root: on_host(&spec.root)?,
        mounts: mounts.collect::<PortResult<_>>()?,
        confinement: Confinement::Sandbox,
        program: Program::Exec { argv: spec.argv, env: spec.env },
        cwd: spec.cwd,
        limits: spec.limits.into(),
        network: spec.network,
        port_forward: spec.port_forward,
        parked: false,
    })
}

async fn connect(config: &SandboxConfig) -> PortResult<SpawnerClient> {
    let cgroup_name = cgroup_name(config).map_err(|error| PortError::io("identifying the data directory", error))?;
    let settings = Settings { cgroup_name };
    let lock = lock::take(&config.data_dir).await?;
    SpawnerClient::start(&config.spawner, settings, lock).await
}

/// Names the cgroups after the data directory itself rather than its path, which may be another directory's elsewhere.
fn cgroup_name(config: &SandboxConfig) -> io::Result<String> {
    use std::os::unix::fs::MetadataExt;
    std::fs::create_dir_all(&config.data_dir)?;
    let path = config.data_dir.canonicalize()?;
    let metadata = path.metadata()?;
    let identity = format!("{} {} {}", metadata.dev(), metadata.ino(), path.display());
    Ok(format!("faas-{}", &blake3::hash(identity.as_bytes()).to_hex()[..16]))
}

/// Opens a sandbox and waits until its program runs. One that is killed before looks like one whose program ended at
/// once: the channel is closed and the exit tells the signal.
pub(crate) async fn launch(
    link: &SpawnerClient,
    request: OpenRequest,
    level: IsolationLevel,
) -> Result<OpenSandbox, OpenError> {
    let (ends, mut handover) = ends(SocketType::STREAM)?;
    let (is_confined, port_forward) = (request.confinement == Confinement::Sandbox, request.port_forward);
    let is_networked = is_confined && request.network == NetworkMode::Egress;
    let mut order = None;
    if is_confined && (port_forward || is_networked) {
        let (ours, inner) = order_socket()?;
        (order, handover.order) = (Some(ours), Some(inner));
    }
    let opened = link.open(request, &handover.borrow()).await?;
    drop(handover);
    let pidfd = Arc::clone(&opened.pidfd);
    let control = LinuxControl::new(opened, level);
    let Ends { channel, stdout, stderr, status } = ends;
    set_up(&control, status).await?;
    let network = match &order {
        Some(order) if is_networked => Some(device(order, &pidfd).await?),
        _ => None,
    };
    let port_forward = port_forward.then(|| order.map_or(PortForward::Host, PortForward::inside));
    let control = Box::new(control.with(port_forward));
    Ok(OpenSandbox { channel, stdout, stderr, control, network })
}

/// Takes the device that a sandbox sends out when it is set up or assigned.
pub(crate) async fn device(order: &AsyncFd<OwnedFd>, process: &OwnedFd) -> PortResult<NetworkDevice> {
    let failed = |error: io::Error| PortError::failed("taking the network device of a sandbox", error);
    let answer = order.async_io(Interest::READABLE, |order| receive::<AssignOutcome>(order.as_fd())).await;
    match answer.map_err(failed)? {
        Some((delivery, fds)) => {
            delivery?;
            network_device(fds, process)
        }
        None => Err(PortError::failed("taking the network device of a sandbox", "it has ended")),
    }
}

/// The device that came with a message.
pub(crate) fn network_device(fds: Vec<OwnedFd>, process: &OwnedFd) -> PortResult<NetworkDevice> {
    let failed = |error: io::Error| PortError::failed("taking the network device of a sandbox", error);
    let device = fds.into_iter().next().ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
    Ok(NetworkDevice { device, process: process.try_clone().map_err(failed)? })
}

/// Waits until the set-up of what was opened is over. A return, or the end of this future, kills it unless it succeeds.
pub(crate) async fn settled(control: LinuxControl, ends: Ends) -> Result<OpenSandbox, OpenError> {
    let Ends { channel, stdout, stderr, status } = ends;
    set_up(&control, status).await?;
    Ok(OpenSandbox { channel, stdout, stderr, control: Box::new(control), network: None })
}

async fn set_up(control: &LinuxControl, status: OwnedFd) -> Result<(), OpenError> {
    let set_up = tokio::time::timeout(SET_UP_PATIENCE, read_status(status)).await;
    let outcome = set_up.map_err(|_| PortError::failed("opening a sandbox", "its set-up does not end"))?;
    if let Some(problem) = outcome.map_err(|error| PortError::io("opening a sandbox", error))? {
        control.wait().await;
        return Err(problem.into());
    }
    Ok(())
}

/// What orders go through: our end, and the one inside. No program inside gets that one, only what sets the sandbox up: so
/// descriptors may come out.
pub(crate) fn order_socket() -> PortResult<(AsyncFd<OwnedFd>, OwnedFd)> {
    let make = || -> io::Result<(AsyncFd<OwnedFd>, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, inner) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        Ok((sys::watch(ours)?, inner))
    };
    make().map_err(|error| PortError::io("making the descriptors of a sandbox", error))
}

/// Makes the descriptors of a sandbox, whose channel is a socket of this kind.
pub(crate) fn ends(channel: SocketType) -> PortResult<(Ends, Handover)> {
    let make = || -> io::Result<(Ends, Handover)> {
        let new_pipe = || pipe_with(PipeFlags::CLOEXEC);
        let (channel, inner) = pair(channel)?;
        let ((stdout, out), (stderr, err), (status, report)) = (new_pipe()?, new_pipe()?, new_pipe()?);
        let handover = Handover { channel: inner, stdout: out, stderr: err, status: report, order: None, door: None };
        Ok((Ends { channel, stdout, stderr, status }, handover))
    };
    make().map_err(|error| PortError::io("making the descriptors of a sandbox", error))
}

/// Waits until the status pipe closes.
async fn read_status(status: OwnedFd) -> io::Result<Option<Problem>> {
    let mut text = Vec::new();
    pipe::Receiver::from_owned_fd(status)?.read_to_end(&mut text).await?;
    parse_status(&text)
}
