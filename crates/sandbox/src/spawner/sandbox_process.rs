//! An open sandbox as the spawner holds it: its first process, cgroup and identity.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::process::{Signal, pidfd_send_signal};

use crate::cgroup::Cgroup;
use crate::spawner_protocol::{Confinement, Ending};
use crate::sys;

/// An open sandbox.
pub(super) struct SandboxProcess {
    pub(super) child: sys::Child,
    /// Kept open: the child knows by it that the spawner lives.
    #[expect(dead_code, reason = "held for its other end")]
    pub(super) go: OwnedFd,
    /// Gives the main program's wait status.
    pub(super) exit: File,
    pub(super) cgroup: Option<Cgroup>,
    pub(super) slot: u32,
    pub(super) confinement: Confinement,
}

/// A sandbox without processes whose cgroup is still there.
pub(super) struct Leaving {
    pub(super) request: u64,
    pub(super) ending: Ending,
    cgroup: Option<Cgroup>,
    deadline: Instant,
}

/// A cgroup that cannot be removed for this long is left to the next start.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(2);

/// Kills and reaps a child that is in no table yet.
pub(super) fn end(child: &sys::Child) {
    let _ = pidfd_send_signal(&child.pidfd, Signal::KILL);
    let _ = sys::reap(child.pid);
}

// === impl SandboxProcess ===

impl SandboxProcess {
    pub(super) fn kill(&self) {
        // One that has ended by itself is what we want.
        let _ = pidfd_send_signal(&self.child.pidfd, Signal::KILL);
    }

    /// Reaps the first process, which must have been killed or have ended. By then the kernel has reaped the others.
    pub(super) fn reap(mut self, request: u64) -> io::Result<Leaving> {
        let (_, reaped) = sys::reap(self.child.pid)?;
        let mut bytes = [0; 4];
        let told = self.exit.read_exact(&mut bytes).is_ok();
        let status = if told { i32::from_ne_bytes(bytes) } else { reaped.status };
        let account = self.cgroup.as_ref().map(Cgroup::account).unwrap_or_default();
        let ending = Ending {
            code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
            signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
            oom_kills: account.oom_kills,
            peak_memory_bytes: account.peak_memory_bytes,
            cpu_us: account.cpu_us.or(Some(reaped.cpu_us)),
        };
        Ok(Leaving { request, ending, cgroup: self.cgroup, deadline: Instant::now() + REMOVAL_PATIENCE })
    }
}

// === impl Leaving ===

impl Leaving {
    /// Whether the cgroup is gone, or has been given up.
    pub(super) fn try_remove(&mut self) -> bool {
        self.cgroup.as_ref().is_none_or(Cgroup::remove) || Instant::now() > self.deadline
    }
}
