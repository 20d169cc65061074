//! The process that forks: small, single-threaded, and the parent of every sandbox's first process.
//!
//! The server has many threads and must not fork anything that goes on to run code; it asks this process over a
//! socket. When the server goes away, however it does, the socket closes and every sandbox is killed.

mod identity;
mod resident;

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use libc::sock_filter;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::thread::set_thread_groups;

use crate::cgroup::{Cgroup, Controller, Layout, sweep};
use crate::child::{self, Inheritance, Plan};
use crate::problem::{During, Problem, Step};
use crate::wire::{Event, Handover, OpenRequest, Request, receive, send};
use crate::{seccomp, sys};
use identity::Identities;
use resident::{Leaving, Resident};

/// The namespaces that the clone makes. The cgroup namespace is made later, once inside the cgroup.
const NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS;

/// How often the removal of a cgroup is tried again while the last process inside is going away.
const REMOVAL_PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

/// Marks the control socket among the epoll events; requests count from 1.
const CONTROL: u64 = 0;

struct Spawner {
    control: OwnedFd,
    epoll: OwnedFd,
    layout: Layout,
    identities: Identities,
    filter: Vec<sock_filter>,
    masks: Vec<CString>,
    residents: HashMap<u64, Resident>,
    leaving: Vec<Leaving>,
}

/// Becomes the spawner. A program that is given in a [`SpawnerCommand`](crate::SpawnerCommand) calls this first, before
/// it starts a thread or opens a file; descriptor 0 is the socket to the server. Returns only as an exit of the process.
pub fn spawner_main() -> ! {
    let code = match Spawner::start() {
        Ok(mut spawner) => {
            let outcome = spawner.serve();
            spawner.clear_out();
            i32::from(outcome.is_err())
        }
        Err(_) => 1,
    };
    std::process::exit(code)
}

/// Takes the socket away from descriptor 0 and fills 0 to 3, so that no descriptor of a sandbox ever has a number that
/// its program will use.
fn take_control() -> io::Result<OwnedFd> {
    let control = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 4)?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for number in [0, 1, 3] {
        sys::dup_onto(null.as_fd(), number)?;
    }
    // Descriptor 2 stays the server's: a panic should be seen. Whatever else came along from the server goes.
    let control_number = control.as_raw_fd() as u32;
    if null.as_raw_fd() == 3 {
        std::mem::forget(null);
    }
    sys::close_range(4, control_number - 1)?;
    sys::close_range(control_number + 1, u32::MAX)?;
    Ok(control)
}

impl Spawner {
    fn start() -> io::Result<Self> {
        let control = take_control()?;
        // The terminal's and the init system's signals are for the server; it decides when sandboxes end.
        let _ = rustix::process::setsid();
        sys::set_signals(&sys::IGNORED, true);
        sys::unblock_signals();
        let (Request::Configure(settings), _) = receive(control.as_fd())?.ok_or(io::ErrorKind::UnexpectedEof)? else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        if rustix::process::geteuid().is_root() {
            // Groups of root would show through in the sandboxes.
            let _ = set_thread_groups(&[]);
        }
        let layout = Layout::prepare(&settings.cgroup_name);
        sweep(&layout);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &control, epoll::EventData::new_u64(CONTROL), epoll::EventFlags::IN)?;
        send(control.as_fd(), &Event::Ready { layout: layout.clone() }, &[])?;
        Ok(Self {
            control,
            epoll,
            layout,
            identities: Identities::of_this_process(settings.first_uid, settings.uid_count),
            filter: seccomp::program(),
            masks: child::existing_masks(),
            residents: HashMap::new(),
            leaving: Vec::new(),
        })
    }

    /// Until the server closes its end.
    fn serve(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(64);
        loop {
            let pause = (!self.leaving.is_empty()).then_some(&REMOVAL_PAUSE);
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), pause) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            for event in &events {
                match event.data.u64() {
                    CONTROL => match receive(self.control.as_fd())? {
                        None => return Ok(()),
                        Some((Request::Open(request), fds)) => self.open(*request, fds)?,
                        Some((Request::Configure(_), _)) => {}
                    },
                    request => self.bury(request)?,
                }
            }
            self.announce_departures()?;
        }
    }

    fn open(&mut self, request: OpenRequest, fds: Vec<OwnedFd>) -> io::Result<()> {
        let number = request.request;
        match Handover::try_from(fds).during(Step::Request).and_then(|handover| self.launch(request, handover)) {
            Ok(resident) => {
                let opened = Event::Opened { request: number, cgroup: resident.cgroup.clone() };
                send(self.control.as_fd(), &opened, &[resident.child.pidfd.as_fd()])?;
                self.residents.insert(number, resident);
                Ok(())
            }
            Err(problem) => send(self.control.as_fd(), &Event::Refused { request: number, problem }, &[]),
        }
    }

    fn launch(&mut self, request: OpenRequest, handover: Handover) -> Result<Resident, Problem> {
        let number = request.request;
        let (name, limits) = (request.name.clone(), request.limits);
        let plan = Plan::new(request, self.layout.has(Controller::Memory), &self.masks)?;
        let slot = self.identities.take().ok_or_else(no_identity)?;
        let cgroup = self.make_cgroup(&name, &limits).inspect_err(|_| self.identities.give_back(slot))?;
        let outcome = self.clone_child(number, &plan, handover, cgroup.as_ref(), slot);
        match outcome {
            Ok((child, go, exit)) => Ok(Resident { child, go, exit, cgroup, slot }),
            Err(problem) => {
                self.identities.give_back(slot);
                if let Some(cgroup) = cgroup {
                    cgroup.remove();
                }
                Err(problem)
            }
        }
    }

    fn make_cgroup(&self, name: &str, limits: &crate::wire::Limits) -> Result<Option<Cgroup>, Problem> {
        if self.layout.hierarchies.is_empty() {
            return Ok(None);
        }
        Cgroup::create(&self.layout, name, limits).during_with(Step::CreateCgroup, name).map(Some)
    }

    fn clone_child(
        &self,
        number: u64,
        plan: &Plan,
        handover: Handover,
        cgroup: Option<&Cgroup>,
        slot: u32,
    ) -> Result<(sys::Child, OwnedFd, File), Problem> {
        let (go_reader, go) = pipe().during(Step::Clone)?;
        let (exit, exit_writer) = pipe().during(Step::Clone)?;
        if self.identities.is_foreign() {
            // So that `/dev/stdout` and the like can be opened inside.
            let (uid, gid) = self.identities.owner(slot);
            for fd in [&handover.stdout, &handover.stderr] {
                let _ = rustix::fs::fchown(fd, Some(uid), Some(gid));
            }
        }
        let into = cgroup.and_then(Cgroup::single_v2).transpose().during(Step::CreateCgroup)?;
        let entrances = match (&into, cgroup) {
            (None, Some(cgroup)) => cgroup.entrances().during(Step::CreateCgroup)?,
            _ => Vec::new(),
        };
        // SAFETY: the spawner never starts a thread.
        let cloned = unsafe { sys::clone_process(NAMESPACES as u64, into.as_ref().map(AsFd::as_fd)) };
        let Some(child) = cloned.during(Step::Clone)? else {
            let inheritance =
                Inheritance { handover, go: File::from(go_reader), exit: File::from(exit_writer), entrances };
            drop(go);
            child::run(plan, inheritance, &self.filter)
        };
        let ready = self.identities.assign(child.pid, slot).and_then(|()| {
            let token = epoll::EventData::new_u64(number);
            epoll::add(&self.epoll, &child.pidfd, token, epoll::EventFlags::IN)?;
            rustix::io::write(&go, &[1])?;
            Ok(())
        });
        if let Err(error) = ready {
            resident::end(&child);
            return Err(Problem::new(Step::Identity, "", &error));
        }
        Ok((child, go, File::from(exit)))
    }

    /// The first process of a sandbox has ended, and with it all others.
    fn bury(&mut self, request: u64) -> io::Result<()> {
        let Some(resident) = self.residents.remove(&request) else { return Ok(()) };
        epoll::delete(&self.epoll, &resident.child.pidfd)?;
        self.identities.give_back(resident.slot);
        self.leaving.push(resident.bury(request)?);
        Ok(())
    }

    fn announce_departures(&mut self) -> io::Result<()> {
        for gone in self.leaving.extract_if(.., Leaving::try_remove) {
            send(self.control.as_fd(), &Event::Exited { request: gone.request, ending: gone.ending }, &[])?;
        }
        Ok(())
    }

    /// Leaves nothing behind when the server has gone.
    fn clear_out(&mut self) {
        for resident in self.residents.values() {
            resident.kill();
        }
        for (request, resident) in self.residents.drain() {
            if let Ok(leaving) = resident.bury(request) {
                self.leaving.push(leaving);
            }
        }
        while !self.leaving.is_empty() {
            self.leaving.retain_mut(|leaving| !leaving.try_remove());
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        self.layout.remove();
    }
}

fn no_identity() -> Problem {
    Problem::new(Step::Capacity, "", &io::Error::from_raw_os_error(libc::EAGAIN))
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}
