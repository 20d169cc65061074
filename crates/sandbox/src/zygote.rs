//! A program that is forked to fill sandboxes, as the server holds it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use async_trait::async_trait;
use faas_ports::{OpenSandbox, ParkedSandbox, PortError, PortResult, SandboxControl, SandboxExit, SandboxSpec, Zygote};
use faas_types::{IsolationLevel, NetworkMode};
use rustix::net::SocketType;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::unix::pipe;
use tokio::sync::watch;

use crate::child::{INSIDE_ID, LOCKED};
use crate::control::LinuxControl;
use crate::launch::{ends, request, settled};
use crate::packet::send_bytes;
use crate::parked::{Parent, park};
use crate::spawner_client::SpawnerClient;
use crate::spawner_protocol::{Confinement, OpenRequest, Program};
use crate::{seccomp, sys};

/// A running zygote. Killed when dropped.
pub(crate) struct LinuxZygote {
    link: Arc<SpawnerClient>,
    socket: AsyncFd<OwnedFd>,
    control: Box<dyn SandboxControl>,
    exit: watch::Receiver<Option<SandboxExit>>,
    /// Of the sandboxes that its forks fill.
    level: IsolationLevel,
}

/// Output of a zygote is read in pieces of this length.
const WORDS: usize = 4096;

// === impl LinuxZygote ===

impl LinuxZygote {
    /// Starts it, and tells it how its forks must confine themselves.
    pub(crate) async fn start(
        link: Arc<SpawnerClient>,
        request: OpenRequest,
        level: IsolationLevel,
    ) -> PortResult<Self> {
        let request = OpenRequest { confinement: Confinement::Zygote, ..request };
        let (ends, handover) = ends(SocketType::SEQPACKET)?;
        let opened = link.open(request, &handover.borrow()).await?;
        drop(handover);
        let exit = opened.exit.clone();
        let control = LinuxControl::new(opened, level);
        let OpenSandbox { channel, stderr, control, .. } = settled(control, ends).await?;
        let failed = |error: std::io::Error| PortError::io("talking to a zygote", error);
        rustix::io::ioctl_fionbio(&channel, true).map_err(|error| failed(error.into()))?;
        let socket = sys::watch(channel).map_err(failed)?;
        let errors = pipe::Receiver::from_owned_fd(stderr).map_err(failed)?;
        // Ends with the zygote.
        tokio::spawn(listen(errors));
        let told = socket.async_io(Interest::WRITABLE, |socket| send_bytes(socket.as_fd(), &confinement(), &[])).await;
        told.map_err(failed)?;
        Ok(Self { link, socket, control, exit, level })
    }
}

#[async_trait]
impl Zygote for LinuxZygote {
    async fn park(&self, spec: SandboxSpec) -> PortResult<ParkedSandbox> {
        if self.exit.borrow().is_some() {
            return Err(PortError::Closed("zygote"));
        }
        let argv = spec.argv.join("\0");
        let network = NetworkMode::None;
        let request = OpenRequest { parked: true, program: Program::Fork, network, ..request(spec)? };
        let zygote = Parent { socket: &self.socket, argv: argv.as_bytes() };
        Ok(park(&self.link, request, self.level, Some(zygote)).await?)
    }

    async fn exited(&self) -> SandboxExit {
        self.control.wait().await
    }
}

/// What a fork needs to know to become as weak as a program that is started: its user, the securebits to set, and the
/// filter as the kernel takes it.
fn confinement() -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&INSIDE_ID.to_ne_bytes());
    bytes.extend_from_slice(&(LOCKED as u32).to_ne_bytes());
    for instruction in seccomp::program() {
        bytes.extend_from_slice(&instruction.code.to_ne_bytes());
        bytes.extend_from_slice(&[instruction.jt, instruction.jf]);
        bytes.extend_from_slice(&instruction.k.to_ne_bytes());
    }
    bytes
}

/// Passes on what it complains about.
async fn listen(mut errors: pipe::Receiver) {
    let mut words = vec![0; WORDS];
    while let Ok(length @ 1..) = errors.read(&mut words).await {
        let words = String::from_utf8_lossy(&words[..length]);
        tracing::warn!(words = words.trim_end(), "a zygote complains");
    }
}
