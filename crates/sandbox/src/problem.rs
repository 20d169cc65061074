//! Why a sandbox could not be opened.

use std::fmt;
use std::io;

use faas_ports::PortError;
use serde::{Deserialize, Serialize};

/// The part of the set-up that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    Request,
    Capacity,
    CreateCgroup,
    Clone,
    Identity,
    Files,
    JoinCgroup,
    CgroupNamespace,
    Layers,
    HostName,
    Loopback,
    Network,
    Root,
    Devices,
    Proc,
    Tmp,
    Pivot,
    Privileges,
    Seccomp,
    Limits,
    Init,
    WorkingDirectory,
    Exec,
    Fork,
    Assign,
    Connect,
}

/// A failed step with what it was about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("cannot {step}{}: {}", Subject(subject), io::Error::from_raw_os_error(*errno))]
pub(crate) struct Problem {
    pub(crate) step: Step,
    pub(crate) subject: String,
    pub(crate) errno: i32,
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// A step of the set-up failed.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// It did not come to that, or did not end.
    #[error(transparent)]
    Port(#[from] PortError),
}

struct Subject<'a>(&'a str);

/// Attaches the step to an error.
pub(crate) trait During<T> {
    /// Names the step that was under way.
    fn during(self, step: Step) -> Result<T, Problem>;

    /// Names the step and the thing it was about.
    fn during_with(self, step: Step, subject: impl Into<String>) -> Result<T, Problem>;
}

// === impl Step ===

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "understand the request to open a sandbox",
            Self::Capacity => "open another sandbox: all user ids are taken",
            Self::CreateCgroup => "create the cgroup",
            Self::Clone => "create the namespaces",
            Self::Identity => "take the sandbox's user id",
            Self::Files => "arrange the file descriptors",
            Self::JoinCgroup => "join the cgroup",
            Self::CgroupNamespace => "create the cgroup namespace",
            Self::Layers => "open the layer",
            Self::HostName => "set the host name",
            Self::Loopback => "bring the loopback interface up",
            Self::Network => "set up the network device",
            Self::Root => "mount the layer",
            Self::Devices => "mount /dev",
            Self::Proc => "mount /proc",
            Self::Tmp => "mount /tmp",
            Self::Pivot => "change the root directory",
            Self::Privileges => "drop privileges",
            Self::Seccomp => "install the system call filter",
            Self::Limits => "set the resource limits",
            Self::Init => "start the first process",
            Self::WorkingDirectory => "enter the working directory",
            Self::Exec => "start the program",
            Self::Fork => "let the zygote's fork in",
            Self::Assign => "assign the parked sandbox",
            Self::Connect => "connect to what listens inside",
        })
    }
}

// === impl Problem ===

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " `{}`", self.0) }
    }
}

impl Problem {
    pub(crate) fn new(step: Step, subject: impl Into<String>, error: &io::Error) -> Self {
        Self { step, subject: subject.into(), errno: error.raw_os_error().unwrap_or(libc::EINVAL) }
    }
}

impl From<Problem> for PortError {
    fn from(problem: Problem) -> Self {
        match problem.step {
            Step::Capacity => Self::Full { what: "the range of sandbox user ids".to_owned() },
            Step::WorkingDirectory | Step::Exec => Self::Invalid(problem.to_string()),
            Step::Clone | Step::Identity | Step::CgroupNamespace | Step::Proc | Step::Network => {
                Self::Isolation(problem.to_string())
            }
            Step::Connect => Self::failed("connecting into a sandbox", problem),
            _ => Self::failed("opening a sandbox", problem),
        }
    }
}

impl From<OpenError> for PortError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Problem(problem) => problem.into(),
            OpenError::Port(error) => error,
        }
    }
}

// === impl During ===

impl<T, E: Into<io::Error>> During<T> for Result<T, E> {
    fn during(self, step: Step) -> Result<T, Problem> {
        self.during_with(step, "")
    }

    fn during_with(self, step: Step, subject: impl Into<String>) -> Result<T, Problem> {
        self.map_err(|error| Problem::new(step, subject, &error.into()))
    }
}
