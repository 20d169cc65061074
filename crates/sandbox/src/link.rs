//! The server's end of the connection to a spawner.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use faas_ports::{PortError, PortResult, SandboxExit, SandboxUsage};
use parking_lot::Mutex;
use rustix::event::Timespec;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Signal, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{oneshot, watch};

use crate::cgroup::{Cgroup, Layout};
use crate::config::SpawnerCommand;
use crate::problem::Problem;
use crate::sys;
use crate::wire::{Ending, Event, OpenRequest, Request, Settings, receive, send};

/// A spawner must answer within this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running spawner.
pub(crate) struct Link {
    socket: Arc<AsyncFd<OwnedFd>>,
    table: Arc<Table>,
    next: AtomicU64,
    /// What the spawner found.
    pub(crate) layout: Layout,
}

/// Who waits for what.
#[derive(Default)]
struct Table {
    answers: Mutex<HashMap<u64, oneshot::Sender<Result<Opened, Problem>>>>,
    live: Mutex<HashMap<u64, Live>>,
    closed: AtomicBool,
}

struct Live {
    exit: watch::Sender<Option<SandboxExit>>,
    pidfd: Arc<OwnedFd>,
    cgroup: Option<Cgroup>,
}

/// A sandbox that has processes.
pub(crate) struct Opened {
    pub(crate) pidfd: Arc<OwnedFd>,
    pub(crate) cgroup: Option<Cgroup>,
    pub(crate) exit: watch::Receiver<Option<SandboxExit>>,
}

// === impl Link ===

impl Link {
    /// Starts a spawner and waits until it is ready.
    pub(crate) async fn start(command: &SpawnerCommand, settings: Settings) -> PortResult<Self> {
        let failed = |error: io::Error| PortError::failed("starting the spawner of sandboxes", error);
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(|error| failed(error.into()))?;
        rustix::io::ioctl_fionbio(&ours, true).map_err(|error| failed(error.into()))?;
        spawn(command, theirs).map_err(failed)?;
        let socket = Arc::new(sys::watch(ours).map_err(failed)?);
        let greeting = async {
            transmit(&socket, &Request::Configure(settings), &[]).await?;
            listen(&socket).await
        };
        let answer =
            tokio::time::timeout(PATIENCE, greeting).await.map_err(|_| failed(io::ErrorKind::TimedOut.into()))?;
        let Some((Event::Ready { layout }, _)) = answer.map_err(failed)? else {
            return Err(failed(io::Error::other("it ended at once; is it given the right arguments?")));
        };
        let table = Arc::new(Table::default());
        tokio::spawn(dispatch(Arc::clone(&socket), Arc::clone(&table)));
        Ok(Self { socket, table, next: AtomicU64::new(1), layout })
    }

    /// Whether the spawner is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.table.closed.load(Ordering::Acquire)
    }

    /// Asks for a sandbox. When the future is dropped, what was started is killed.
    pub(crate) async fn open(&self, mut request: OpenRequest, fds: [BorrowedFd<'_>; 4]) -> PortResult<Opened> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        request.request = number;
        let (sender, answer) = oneshot::channel();
        self.table.answers.lock().insert(number, sender);
        if let Err(error) = transmit(&self.socket, &Request::Open(Box::new(request)), &fds).await {
            self.table.answers.lock().remove(&number);
            return Err(PortError::failed("asking the spawner for a sandbox", error));
        }
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(outcome)) => outcome.map_err(PortError::from),
            Ok(Err(_)) => Err(PortError::failed("opening a sandbox", "the spawner has ended; try again")),
            Err(_) => Err(PortError::failed("opening a sandbox", "the spawner does not answer")),
        }
    }
}

/// Starts the process, owned by a thread that reaps it. It holds nothing of ours but the socket, and no environment.
fn spawn(command: &SpawnerCommand, socket: OwnedFd) -> io::Result<()> {
    use std::os::unix::process::CommandExt;
    let mut process = Command::new(&command.program);
    // The arguments can be seen inside the sandboxes; the path of the program is nobody's business there.
    process.arg0("faas-init").args(&command.args).env_clear().current_dir("/");
    process.stdin(Stdio::from(socket)).stdout(Stdio::null());
    let mut child = process.spawn()?;
    // The command holds the socket's other end; as long as it lives, no end of file would be seen.
    drop(process);
    let reaper = std::thread::Builder::new().name("spawner-reaper".to_owned());
    reaper.spawn(move || child.wait()).map(drop)
}

async fn transmit(socket: &AsyncFd<OwnedFd>, request: &Request, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    socket.async_io(Interest::WRITABLE, |socket| send(socket.as_fd(), request, fds)).await
}

async fn listen(socket: &AsyncFd<OwnedFd>) -> io::Result<Option<(Event, Vec<OwnedFd>)>> {
    socket.async_io(Interest::READABLE, |socket| receive(socket.as_fd())).await
}

/// Hands out the spawner's events until it is gone, then takes over its duty for what is still open.
async fn dispatch(socket: Arc<AsyncFd<OwnedFd>>, table: Arc<Table>) {
    loop {
        match listen(&socket).await {
            Ok(Some((event, fds))) => table.note(event, fds),
            Ok(None) => break,
            Err(error) => {
                tracing::error!(%error, "the spawner of sandboxes cannot be heard");
                break;
            }
        }
    }
    table.closed.store(true, Ordering::Release);
    table.answers.lock().clear();
    let orphans: Vec<Live> = table.live.lock().drain().map(|(_, live)| live).collect();
    if !orphans.is_empty() {
        tracing::error!(sandboxes = orphans.len(), "the spawner of sandboxes has died");
    }
    for live in orphans {
        tokio::task::spawn_blocking(move || live.bury());
    }
}

// === impl Table ===

impl Table {
    fn note(&self, event: Event, fds: Vec<OwnedFd>) {
        match event {
            Event::Opened { request, cgroup } => {
                let Some(pidfd) = fds.into_iter().next() else { return };
                self.note_opened(request, Arc::new(pidfd), cgroup);
            }
            Event::Refused { request, problem } => {
                if let Some(waiter) = self.answers.lock().remove(&request) {
                    let _ = waiter.send(Err(problem));
                }
            }
            Event::Exited { request, ending } => {
                if let Some(live) = self.live.lock().remove(&request) {
                    live.exit.send_replace(Some(ending.into()));
                }
            }
            Event::Ready { .. } => {}
        }
    }

    fn note_opened(&self, request: u64, pidfd: Arc<OwnedFd>, cgroup: Option<Cgroup>) {
        let (sender, exit) = watch::channel(None);
        let live = Live { exit: sender, pidfd: Arc::clone(&pidfd), cgroup: cgroup.clone() };
        self.live.lock().insert(request, live);
        let waiter = self.answers.lock().remove(&request);
        let opened = Opened { pidfd, cgroup, exit };
        if let Some(Err(Ok(unwanted))) = waiter.map(|waiter| waiter.send(Ok(opened))) {
            unwanted.kill();
        }
    }
}

// === impl Opened ===

impl Opened {
    /// Kills the first process, and thereby all.
    pub(crate) fn kill(&self) {
        // One that has ended by itself is what we want.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }
}

// === impl Live ===

impl Live {
    /// Does what the spawner would have done. The kernel kills the sandbox when its parent dies; this waits for it.
    fn bury(self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        let mut fds = [rustix::event::PollFd::new(&*self.pidfd, rustix::event::PollFlags::IN)];
        let patience = Timespec { tv_sec: 5, tv_nsec: 0 };
        let _ = rustix::event::poll(&mut fds, Some(&patience));
        let account = self.cgroup.as_ref().map(Cgroup::account).unwrap_or_default();
        if let Some(cgroup) = &self.cgroup {
            let attempts = 1000;
            let pause = || std::thread::sleep(Duration::from_millis(2));
            let _ = (0..attempts).find(|_| {
                cgroup.remove() || {
                    pause();
                    false
                }
            });
        }
        let ending = Ending {
            code: None,
            signal: Some(Signal::KILL.as_raw()),
            oom_kills: 0,
            peak_memory_bytes: account.peak_memory_bytes,
            cpu_us: account.cpu_us,
        };
        self.exit.send_replace(Some(ending.into()));
    }
}

impl From<Ending> for SandboxExit {
    fn from(ending: Ending) -> Self {
        Self {
            code: ending.code,
            signal: ending.signal,
            // A program that survives the loss of a child has not run out of memory itself.
            out_of_memory: ending.oom_kills > 0 && ending.code != Some(0),
            usage: SandboxUsage { peak_memory_bytes: ending.peak_memory_bytes, cpu_us: ending.cpu_us },
        }
    }
}
