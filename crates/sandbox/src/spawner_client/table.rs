//! Who waits for an answer, and which sandboxes are open.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faas_ports::{SandboxExit, SandboxUsage};
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};
use tokio::sync::{oneshot, watch};

use crate::cgroup::Cgroup;
use crate::problem::Problem;
use crate::spawner_protocol::{Ending, Event};

/// The life of a spawner as the server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Running,
    /// It has gone; what it left is being ended.
    Ending,
    /// Nothing is left.
    Closed,
}

/// What one spawner is doing for us.
pub(super) struct Table {
    answers: Mutex<HashMap<u64, oneshot::Sender<Result<Opened, Problem>>>>,
    live: Mutex<HashMap<u64, Live>>,
    state: watch::Sender<State>,
    /// We have told the spawner to end: what is still open ends with it, as wanted.
    dismissed: AtomicBool,
}

/// A sandbox that has processes. Dropping it kills them, also when the caller stopped waiting before it arrived.
pub(crate) struct Opened {
    pub(crate) pidfd: Arc<OwnedFd>,
    pub(crate) cgroup: Option<Cgroup>,
    pub(crate) exit: watch::Receiver<Option<SandboxExit>>,
}

struct Live {
    exit: watch::Sender<Option<SandboxExit>>,
    pidfd: Arc<OwnedFd>,
    cgroup: Option<Cgroup>,
}

// === impl Table ===

impl Table {
    pub(super) fn new() -> Self {
        Self {
            answers: Mutex::default(),
            live: Mutex::default(),
            state: watch::Sender::new(State::Running),
            dismissed: AtomicBool::new(false),
        }
    }

    pub(super) fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Waits until nothing is left.
    pub(super) async fn closed(&self) {
        // The sender is in this table, so that waiting cannot fail.
        let _ = self.state.subscribe().wait_for(|state| *state == State::Closed).await;
    }

    /// Notes who asked for a sandbox.
    pub(super) fn expect(&self, request: u64, waiter: oneshot::Sender<Result<Opened, Problem>>) {
        self.answers.lock().insert(request, waiter);
    }

    /// Takes that back.
    pub(super) fn forget(&self, request: u64) {
        self.answers.lock().remove(&request);
    }

    /// Notes that the spawner ends because we want it to.
    pub(super) fn note_farewell(&self) {
        self.dismissed.store(true, Ordering::Release);
    }

    /// Passes an event on.
    pub(super) fn note(&self, event: Event, fds: Vec<OwnedFd>) {
        match event {
            Event::Opened { request, cgroup } => {
                if let Some(pidfd) = fds.into_iter().next() {
                    self.note_opened(request, Arc::new(pidfd), cgroup);
                }
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
        let opened = Opened { pidfd, cgroup, exit };
        if let Some(waiter) = self.answers.lock().remove(&request) {
            let _ = waiter.send(Ok(opened));
        }
    }

    /// The spawner has gone: ends what is still open.
    pub(super) async fn close(&self) {
        self.state.send_replace(State::Ending);
        self.answers.lock().clear();
        let orphans: Vec<Live> = self.live.lock().drain().map(|(_, live)| live).collect();
        if !orphans.is_empty() && !self.dismissed.load(Ordering::Acquire) {
            tracing::warn!(sandboxes = orphans.len(), "the spawner of sandboxes has ended before them");
        }
        let burials: Vec<_> = orphans.into_iter().map(|live| tokio::task::spawn_blocking(|| live.bury())).collect();
        for burial in burials {
            // One that panics leaves at most an empty cgroup, for the next start to remove.
            let _ = burial.await;
        }
        self.state.send_replace(State::Closed);
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

impl Drop for Opened {
    fn drop(&mut self) {
        self.kill();
    }
}

// === impl Live ===

impl Live {
    /// Does what the spawner would have done. The kernel kills the sandbox when its parent dies; this waits for it. The
    /// keeper of a plain process needs a moment for the processes that it has to end.
    fn bury(self) {
        let patience = Timespec { tv_sec: 5, tv_nsec: 0 };
        let _ = poll(&mut [PollFd::new(&*self.pidfd, PollFlags::IN)], Some(&patience));
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        let _ = poll(&mut [PollFd::new(&*self.pidfd, PollFlags::IN)], Some(&patience));
        let account = self.cgroup.as_ref().map(Cgroup::account).unwrap_or_default();
        if let Some(cgroup) = &self.cgroup {
            // The last process may still be on its way out. What is left after two seconds, the next start removes.
            for _ in 0..1000 {
                if cgroup.remove() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
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
