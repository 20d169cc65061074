//! Messages between the server and its spawner.
//!
//! One `SOCK_SEQPACKET` message carries one JSON document and its file descriptors. A document that is too long for a
//! message travels in an anonymous file, as an additional first descriptor.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use faas_ports::SandboxLimits;
use faas_types::NetworkMode;
use rustix::fs::MemfdFlags;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cgroup::{Cgroup, Layout};
use crate::problem::Problem;

/// What the server asks for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// The first message; with the lock of the data directory.
    Configure(Settings),
    /// With the descriptors of a [`Handover`].
    Open(Box<OpenRequest>),
}

/// What the spawner must know once.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Names the cgroups of this server, and leads to the host users of its sandboxes.
    pub(crate) cgroup_name: String,
}

/// A sandbox to open.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OpenRequest {
    /// Chosen by the server; returns in every event about this sandbox.
    pub(crate) request: u64,
    /// Names the cgroup.
    pub(crate) name: String,
    pub(crate) root: PathBuf,
    /// Source and target of each further layer.
    pub(crate) mounts: Vec<(PathBuf, PathBuf)>,
    pub(crate) confinement: Confinement,
    pub(crate) program: Program,
    pub(crate) cwd: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) network: NetworkMode,
    /// Whether ports of its loopback interface can be reached.
    pub(crate) port_forward: bool,
    /// Whether it waits for its assignment.
    pub(crate) parked: bool,
}

/// What surrounds the main program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Confinement {
    /// Everything that this machine offers.
    Sandbox,
    /// Nothing; all paths are the host's.
    Plain,
    /// Sealed layers and no capability, but the spawner's own user, so that forks can enter sandboxes.
    Zygote,
}

/// What runs as the main program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Program {
    Exec {
        argv: Vec<String>,
        env: Vec<(String, String)>,
    },
    Probe(crate::child::ProbeTargets),
    /// Comes in from outside, through the door of the [`Handover`].
    Fork,
}

/// [`SandboxLimits`] as they travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    pub(crate) memory_bytes: u64,
    pub(crate) cpu_millis: u32,
    /// Length of the period over which the CPU share is enforced.
    pub(crate) cpu_period_us: u64,
    pub(crate) pids: u32,
    pub(crate) tmp_bytes: u64,
    pub(crate) open_files: u64,
}

/// The descriptors of an [`OpenRequest`], in the order in which they are sent.
#[derive(Debug)]
pub(crate) struct Handover {
    /// Becomes descriptor 3 of the program.
    pub(crate) channel: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    /// Closed without a word when the program has been started; a [`Problem`] is written to it otherwise.
    pub(crate) status: OwnedFd,
    /// Where a parked sandbox hears of its assignment. Of any other, where its network device comes out, and then where its
    /// port forwarder receives what to connect to.
    pub(crate) order: Option<OwnedFd>,
    /// Where the first process meets the program that a zygote sends: it writes one byte when the sandbox can be
    /// entered, and reads the program's process number.
    pub(crate) door: Option<OwnedFd>,
}

/// What the spawner reports.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// The answer to [`Request::Configure`].
    Ready { layout: Layout },
    /// Processes exist; comes with the pidfd of the first. The status pipe tells about the program.
    Opened { request: u64, cgroup: Option<Cgroup> },
    /// Nothing exists.
    Refused { request: u64, problem: Problem },
    /// No process is left and the cgroup is gone.
    Exited { request: u64, ending: Ending },
}

/// How a sandbox ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Ending {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) oom_kills: u64,
    pub(crate) peak_memory_bytes: Option<u64>,
    pub(crate) cpu_us: Option<u64>,
}

/// Documents up to this size travel in the message itself.
const INLINE_MAX: usize = 48 << 10;
/// No document is longer.
const DOCUMENT_MAX: u64 = 32 << 20;
/// A message never carries more descriptors.
const FDS_MAX: usize = 24;

/// Sends one message. `WouldBlock` when the socket does not wait and is full.
pub(crate) fn send(socket: BorrowedFd<'_>, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let document = serde_json::to_vec(message)?;
    if document.len() <= INLINE_MAX {
        return send_bytes(socket, &document, fds);
    }
    let mut file = File::from(rustix::fs::memfd_create("request", MemfdFlags::CLOEXEC)?);
    file.write_all(&document)?;
    let all: Vec<_> = std::iter::once(file.as_fd()).chain(fds.iter().copied()).collect();
    send_bytes(socket, &[0], &all)
}

/// Sends bytes as they are, for those who do not read JSON.
pub(crate) fn send_bytes(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one message; `None` when the other side has closed.
pub(crate) fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; INLINE_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let length = {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        recvmsg(socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes
    };
    let mut fds: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| if let RecvAncillaryMessage::ScmRights(fds) = message { Some(fds) } else { None })
        .flatten()
        .collect();
    match &bytes[..length] {
        [] => Ok(None),
        [0] if !fds.is_empty() => {
            let document = read_document(&File::from(fds.remove(0)))?;
            Ok(Some((serde_json::from_slice(&document)?, fds)))
        }
        document => Ok(Some((serde_json::from_slice(document)?, fds))),
    }
}

fn read_document(file: &File) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    if length > DOCUMENT_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut document = vec![0; length as usize];
    file.read_exact_at(&mut document, 0)?;
    Ok(document)
}

/// Understands what came out of a status pipe before it closed.
pub(crate) fn parse_status(text: &[u8]) -> io::Result<Option<Problem>> {
    if text.is_empty() { Ok(None) } else { Ok(Some(serde_json::from_slice(text)?)) }
}

// === impl Limits ===

impl From<SandboxLimits> for Limits {
    fn from(limits: SandboxLimits) -> Self {
        Self {
            memory_bytes: limits.memory_bytes,
            cpu_millis: limits.cpu_millis,
            cpu_period_us: 100_000,
            pids: limits.pids,
            tmp_bytes: limits.tmp_bytes,
            open_files: limits.open_files,
        }
    }
}

// === impl Handover ===

impl Handover {
    pub(crate) fn borrow(&self) -> Vec<BorrowedFd<'_>> {
        let fixed = [&self.channel, &self.stdout, &self.stderr, &self.status];
        fixed.into_iter().chain(&self.order).chain(&self.door).map(AsFd::as_fd).collect()
    }
}

impl TryFrom<Vec<OwnedFd>> for Handover {
    type Error = io::Error;

    fn try_from(fds: Vec<OwnedFd>) -> io::Result<Self> {
        let mut fds = fds.into_iter();
        let mut next = || fds.next().ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF));
        let (channel, stdout, stderr, status) = (next()?, next()?, next()?, next()?);
        Ok(Self { channel, stdout, stderr, status, order: fds.next(), door: fds.next() })
    }
}
