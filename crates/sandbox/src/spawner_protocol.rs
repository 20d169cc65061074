//! Messages between the server and its spawner. Each travels as one [packet](crate::packet).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use faas_types::NetworkMode;
use serde::{Deserialize, Serialize};

use crate::cgroup::{Cgroup, Layout};
use crate::limits::Limits;
use crate::probe_targets::ProbeTargets;
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
    Probe(ProbeTargets),
    /// Comes in from outside, through the door of the [`Handover`].
    Fork,
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
    /// A parked sandbox receives its assignment here. Any other sends its network device through it, and then its
    /// port forwarder receives the addresses to connect to.
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

/// Understands what came out of a status pipe before it closed.
pub(crate) fn parse_status(text: &[u8]) -> io::Result<Option<Problem>> {
    if text.is_empty() { Ok(None) } else { Ok(Some(serde_json::from_slice(text)?)) }
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
