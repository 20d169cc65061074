//! From a request to a sandbox whose set-up is over.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faas_ports::{NetworkDevice, OpenSandbox, PortError, PortResult, SandboxControl, SandboxSpec};
use faas_types::{IsolationLevel, NetworkMode};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::unix::pipe;

use crate::child::AssignOutcome;
use crate::control::LinuxControl;
use crate::packet::receive;
use crate::pair::pair;
use crate::port_forward::PortForward;
use crate::problem::{OpenError, Problem};
use crate::spawner_client::SpawnerClient;
use crate::spawner_protocol::{Confinement, Handover, OpenRequest, Program, parse_status};
use crate::sys;

/// From the first process to the program; far more than it ever takes.
const SET_UP_PATIENCE: Duration = Duration::from_secs(20);

/// The server's ends of a sandbox's descriptors.
pub(crate) struct Ends {
    channel: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    status: OwnedFd,
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
async fn device(order: &AsyncFd<OwnedFd>, process: &OwnedFd) -> PortResult<NetworkDevice> {
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
