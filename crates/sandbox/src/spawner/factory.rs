//! Creates sandboxes: clones the first process, sets its cgroup and identity.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use libc::sock_filter;
use rustix::pipe::{PipeFlags, pipe_with};

use super::files::Files;
use super::identity::Identities;
use super::sandbox_process::{SandboxProcess, end};
use crate::cgroup::{Cgroup, Controller, Layout};
use crate::child::{self, Inheritance, Plan};
use crate::limits::Limits;
use crate::problem::{During, Problem, Step};
use crate::spawner_protocol::{Confinement, Handover, OpenRequest};
use crate::{orphan_reaper, seccomp, sys};

/// The namespaces that the clone makes. The cgroup namespace is made later, once inside the cgroup.
const NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS;

/// Those of a zygote: no other users, and no other process numbers, as its forks must reach those of sandboxes.
const ZYGOTE_NAMESPACES: i32 = libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;

/// What all sandboxes of a spawner have in common, worked out once.
pub(super) struct SandboxFactory {
    pub(super) layout: Layout,
    identities: Identities,
    files: Files,
    filter: Vec<sock_filter>,
    masks: Vec<CString>,
}

/// The pipes between a first process and the spawner.
struct Pipes {
    go: (OwnedFd, OwnedFd),
    exit: (OwnedFd, OwnedFd),
}

// === impl SandboxFactory ===

impl SandboxFactory {
    pub(super) fn new(layout: Layout, server: &str) -> Self {
        let identities = Identities::of_this_process(server);
        Self {
            layout,
            files: Files::of_this_machine(identities.is_foreign()),
            identities,
            filter: seccomp::program(),
            masks: child::existing_masks(),
        }
    }

    /// Takes back the user of a sandbox that has no process any more.
    pub(super) fn free(&mut self, slot: u32) {
        self.identities.give_back(slot);
    }

    /// Starts a sandbox; leaves nothing behind when that fails.
    pub(super) fn launch(&mut self, mut request: OpenRequest, handover: Handover) -> Result<SandboxProcess, Problem> {
        request.limits.open_files = self.files.bound(&request.limits);
        let (name, limits) = (request.name.clone(), request.limits);
        let confinement = request.confinement;
        let counted = confinement != Confinement::Plain && self.layout.has(Controller::Memory);
        let plan = Plan::new(request, counted, &self.masks)?;
        let slot = self.identities.take().ok_or_else(no_identity)?;
        let cgroup = self.make_cgroup(confinement, &name, &limits).inspect_err(|_| self.identities.give_back(slot))?;
        match self.start(&plan, handover, cgroup.as_ref(), slot) {
            Ok((child, go, exit)) => Ok(SandboxProcess { child, go, exit, cgroup, slot, confinement }),
            Err(problem) => {
                self.identities.give_back(slot);
                if let Some(cgroup) = cgroup {
                    cgroup.remove();
                }
                Err(problem)
            }
        }
    }

    fn make_cgroup(&self, confinement: Confinement, name: &str, limits: &Limits) -> Result<Option<Cgroup>, Problem> {
        if confinement == Confinement::Plain || self.layout.hierarchies.is_empty() {
            return Ok(None);
        }
        Cgroup::create(&self.layout, name, limits).during_with(Step::CreateCgroup, name).map(Some)
    }

    /// Clones the first process and tells it who it is. Answers with our ends of its pipes.
    fn start(
        &self,
        plan: &Plan,
        handover: Handover,
        cgroup: Option<&Cgroup>,
        slot: u32,
    ) -> Result<(sys::Child, OwnedFd, File), Problem> {
        let pipes = Pipes::new().during(Step::Clone)?;
        if plan.confinement == Confinement::Sandbox {
            self.give_outputs(&handover, slot);
        }
        let into = cgroup.and_then(Cgroup::single_v2).transpose().during(Step::CreateCgroup)?;
        let entrances = match (&into, cgroup) {
            (None, Some(cgroup)) => cgroup.entrances().during(Step::CreateCgroup)?,
            _ => Vec::new(),
        };
        let cloned = match plan.confinement {
            // SAFETY: the spawner never starts a thread.
            Confinement::Sandbox => unsafe { sys::clone_process(NAMESPACES as u64, into.as_ref().map(AsFd::as_fd)) },
            // SAFETY: as above.
            Confinement::Zygote => unsafe {
                sys::clone_process(ZYGOTE_NAMESPACES as u64, into.as_ref().map(AsFd::as_fd))
            },
            // SAFETY: as above.
            Confinement::Plain => orphan_reaper::adopt_orphans().and_then(|()| unsafe { sys::fork_child() }),
        };
        let Some(child) = cloned.during(Step::Clone)? else {
            let (go, exit) = pipes.of_the_child();
            child::run(plan, Inheritance { handover, go, exit, entrances, tun: None }, &self.filter)
        };
        let (go, exit) = pipes.of_the_spawner();
        match plan.confinement {
            Confinement::Plain => return Ok((child, go, exit)),
            Confinement::Zygote => {
                Identities::make_expendable(child.pid);
                return Ok((child, go, exit));
            }
            Confinement::Sandbox => {}
        }
        let told = self.identities.assign(child.pid, slot).and_then(|()| Ok(rustix::io::write(&go, &[1])?));
        if let Err(error) = told {
            end(&child);
            return Err(Problem::new(Step::Identity, "", &error));
        }
        Ok((child, go, exit))
    }

    /// So that `/dev/stdout` and the like can be opened inside.
    fn give_outputs(&self, handover: &Handover, slot: u32) {
        if self.identities.is_foreign() {
            let (uid, gid) = self.identities.owner(slot);
            for fd in [&handover.stdout, &handover.stderr] {
                // What has been opened works without it.
                let _ = rustix::fs::fchown(fd, Some(uid), Some(gid));
            }
        }
    }
}

// === impl Pipes ===

impl Pipes {
    fn new() -> io::Result<Self> {
        Ok(Self { go: pipe_with(PipeFlags::CLOEXEC)?, exit: pipe_with(PipeFlags::CLOEXEC)? })
    }

    /// Reads `go`, writes `exit`; closes the others.
    fn of_the_child(self) -> (File, File) {
        (File::from(self.go.0), File::from(self.exit.1))
    }

    /// Writes `go`, reads `exit`; closes the others.
    fn of_the_spawner(self) -> (OwnedFd, File) {
        (self.go.1, File::from(self.exit.0))
    }
}

fn no_identity() -> Problem {
    Problem::new(Step::Capacity, "", &io::Error::from_raw_os_error(libc::EAGAIN))
}
