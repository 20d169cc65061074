//! The process that forks: small, single-threaded, and the parent of every sandbox's first process.
//!
//! The server has many threads and must not fork anything that goes on to run code; it asks this process over a
//! socket. When the server goes away, however it does, the socket closes and every sandbox is killed.

mod factory;
mod files;
mod identity;
mod sandbox_process;
mod users;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::thread::set_thread_groups;

use crate::cgroup::{Layout, sweep};
use crate::lock;
use crate::orphan_reaper;
use crate::packet::{receive, send};
use crate::problem::{During, Step};
use crate::spawner_protocol::{Confinement, Event, Handover, OpenRequest, Request};
use crate::sys;
use factory::SandboxFactory;
use sandbox_process::{Leaving, SandboxProcess};
pub(crate) use users::NETWORK_USER;

/// How often the removal of a cgroup is tried again while the last process inside is going away.
const REMOVAL_PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

/// Marks the control socket among the epoll events; requests count from 1.
const CONTROL: u64 = 0;

struct Spawner {
    control: OwnedFd,
    /// Kept until the process ends.
    #[expect(dead_code, reason = "held for what it locks")]
    lock: File,
    epoll: OwnedFd,
    factory: SandboxFactory,
    sandboxes: HashMap<u64, SandboxProcess>,
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
    // Either number 3 or closed with the rest.
    std::mem::forget(null);
    sys::close_range(4, control_number - 1)?;
    sys::close_range(control_number + 1, u32::MAX)?;
    Ok(control)
}

impl Spawner {
    fn start() -> io::Result<Self> {
        let control = take_control()?;
        // The terminal's and the init system's signals are for the server; it decides when sandboxes end.
        let _ = rustix::process::setsid();
        sys::reset_signals();
        sys::set_signals(&sys::IGNORED, true);
        sys::allow_many_files();
        sys::forbid_core_dumps();
        let (Request::Configure(settings), fds) = receive(control.as_fd())?.ok_or(io::ErrorKind::UnexpectedEof)? else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let mut lock = File::from(fds.into_iter().next().ok_or(io::ErrorKind::InvalidData)?);
        lock::sign(&mut lock)?;
        if rustix::process::geteuid().is_root() {
            // Groups of root would show through in the sandboxes.
            let _ = set_thread_groups(&[]);
        }
        let layout = Layout::prepare(&settings.cgroup_name);
        sweep(&layout, &settings.cgroup_name);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &control, epoll::EventData::new_u64(CONTROL), epoll::EventFlags::IN)?;
        send(control.as_fd(), &Event::Ready { layout: layout.clone() }, &[])?;
        Ok(Self {
            control,
            lock,
            epoll,
            factory: SandboxFactory::new(layout, &settings.cgroup_name),
            sandboxes: HashMap::new(),
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
                    request => self.reap(request)?,
                }
            }
            self.announce_departures()?;
        }
    }

    fn open(&mut self, request: OpenRequest, fds: Vec<OwnedFd>) -> io::Result<()> {
        let number = request.request;
        let handover = Handover::try_from(fds).during(Step::Request);
        match handover.and_then(|handover| self.factory.launch(request, handover)) {
            Ok(sandbox) => {
                let token = epoll::EventData::new_u64(number);
                epoll::add(&self.epoll, &sandbox.child.pidfd, token, epoll::EventFlags::IN)?;
                let opened = Event::Opened { request: number, cgroup: sandbox.cgroup.clone() };
                send(self.control.as_fd(), &opened, &[sandbox.child.pidfd.as_fd()])?;
                self.sandboxes.insert(number, sandbox);
                Ok(())
            }
            Err(problem) => send(self.control.as_fd(), &Event::Refused { request: number, problem }, &[]),
        }
    }

    /// The first process of a sandbox has ended, and with it all others.
    fn reap(&mut self, request: u64) -> io::Result<()> {
        let Some(sandbox) = self.sandboxes.remove(&request) else { return Ok(()) };
        epoll::delete(&self.epoll, &sandbox.child.pidfd)?;
        self.factory.free(sandbox.slot);
        let confinement = sandbox.confinement;
        self.leaving.push(sandbox.reap(request)?);
        if confinement == Confinement::Plain {
            // What a killed keeper left is now below this process; what lives belongs to a keeper.
            orphan_reaper::kill_descendants(|pid| self.sandboxes.values().any(|sandbox| sandbox.child.pid == pid));
        }
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
        for sandbox in self.sandboxes.values() {
            sandbox.kill();
        }
        for (request, sandbox) in self.sandboxes.drain() {
            if let Ok(leaving) = sandbox.reap(request) {
                self.leaving.push(leaving);
            }
        }
        orphan_reaper::kill_descendants(|_| false);
        while !self.leaving.is_empty() {
            self.leaving.retain_mut(|leaving| !leaving.try_remove());
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        self.factory.layout.remove();
    }
}
