//! What a child is to do, in the form in which system calls take it.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;

use faas_types::NetworkMode;

use crate::limits::Limits;
use crate::probe_targets::ProbeTargets;
use crate::problem::{During, Problem, Step};
use crate::spawner_protocol::{Confinement, OpenRequest, Program};

/// One sandbox's set-up. Made before the clone: the child only walks through it.
pub(crate) struct Plan {
    pub(crate) confinement: Confinement,
    pub(super) root: CString,
    /// Source on the host, target below the root.
    pub(super) mounts: Vec<(CString, CString)>,
    pub(super) cwd: CString,
    pub(super) program: Main,
    pub(super) limits: Limits,
    pub(super) network: NetworkMode,
    /// Whether its loopback interface can be reached by the server.
    pub(super) port_forward: bool,
    pub(super) is_parked: bool,
    /// Whether a cgroup limits the memory of the tree; otherwise each process is limited as far as that goes.
    pub(super) has_memory_cgroup: bool,
    /// Paths below `/proc` to cover.
    pub(super) masks: Vec<CString>,
}

/// The main program.
pub(super) enum Main {
    Exec { argv: Vec<CString>, env: Vec<CString> },
    Probe(ProbeTargets),
    Fork,
}

// === impl Plan ===

impl Plan {
    /// Checks and converts a request.
    pub(crate) fn new(request: OpenRequest, has_memory_cgroup: bool, masks: &[CString]) -> Result<Self, Problem> {
        let mut limits = request.limits;
        if request.confinement == Confinement::Plain {
            // The kernel would count every process of the server's user.
            limits.pids = u32::MAX;
        }
        let mounts = request.mounts.iter().map(|(source, target)| Ok((text(source)?, below_root(target.as_os_str())?)));
        Ok(Self {
            confinement: request.confinement,
            root: text(&request.root)?,
            mounts: mounts.collect::<Result<_, Problem>>()?,
            cwd: text(&request.cwd)?,
            program: Main::new(request.program)?,
            limits,
            network: request.network,
            port_forward: request.port_forward,
            is_parked: request.parked,
            has_memory_cgroup,
            masks: masks.to_vec(),
        })
    }
}

// === impl Main ===

impl Main {
    fn new(program: Program) -> Result<Self, Problem> {
        match program {
            Program::Exec { argv, env } if !argv.is_empty() => Ok(Self::Exec {
                argv: argv.iter().map(text).collect::<Result<_, _>>()?,
                env: env.iter().map(|(name, value)| text(format!("{name}={value}"))).collect::<Result<_, _>>()?,
            }),
            Program::Exec { .. } => Err(invalid("argv is empty")),
            Program::Probe(targets) => Ok(Self::Probe(targets)),
            Program::Fork => Ok(Self::Fork),
        }
    }
}

fn invalid(subject: impl Into<String>) -> Problem {
    Problem::new(Step::Request, subject, &io::Error::from_raw_os_error(libc::EINVAL))
}

fn text(value: impl AsRef<OsStr>) -> Result<CString, Problem> {
    let value = value.as_ref();
    CString::new(value.as_bytes()).during_with(Step::Request, value.to_string_lossy())
}

/// Mount targets are opened relative to the root; they never climb out of it.
fn below_root(target: &OsStr) -> Result<CString, Problem> {
    let bytes = target.as_bytes();
    let relative = bytes.strip_prefix(b"/").ok_or_else(|| invalid(target.to_string_lossy()))?;
    if relative.is_empty() || relative.split(|byte| *byte == b'/').any(|part| part == b"..") {
        return Err(invalid(target.to_string_lossy()));
    }
    text(OsStr::from_bytes(relative))
}
