//! The process: one thread that waits for devices, sockets, processes and the server.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use faas_netstack::{Amounts, Budget, FRAME_MAX, FlowId, QueryId, Timers};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::bandwidth::Bandwidth;
use crate::indexes::Indexes;
use crate::outbox::Outbox;
use crate::protocol::{self, Gone, MESSAGE_MAX, NetMessage, ServerMessage};
use crate::sandbox::Sandbox;
use crate::surroundings::Shared;
use crate::token::Token;

/// What connections of all sandboxes may reserve for bytes on their way.
const MEMORY_MAX: usize = 512 << 20;
/// Flows of all sandboxes, where this process may open as many files.
const FLOWS_MAX: usize = 64 << 10;
/// Files that are neither a flow's nor a sandbox's.
const FILES_KEPT: usize = 16;
/// Events that are looked at in one turn.
const EVENTS_A_TURN: usize = 256;
/// Messages of the server that are read in one turn.
const MESSAGES_A_TURN: usize = 64;
/// How often changed totals are sent.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// A frame may be longer than the device's MTU when the kernel leaves segments together.
const INCOMING: usize = 68 << 10;

/// The network process before it reads the first packet. [`NetProcess::run`] opens nothing.
pub struct NetProcess {
    shared: Shared,
    message: Vec<u8>,
    sandboxes: HashMap<u64, Sandbox>,
    indexes: Indexes,
    /// By the server's numbers.
    projects: HashMap<u64, Project>,
    sandboxes_max: usize,
    timers: Timers<u64>,
    /// Sandboxes with flows that wait for their turn; some have ended since.
    turns: VecDeque<u64>,
    /// Sandboxes that were moved since their timers were set.
    moved: Vec<u64>,
    /// Sandboxes that may have totals to tell.
    unreported: Vec<u64>,
    report_due: Duration,
    budget: Budget,
    seed: u64,
    begun: Instant,
    wants_room: bool,
}

/// What the sandboxes of a project may have together.
struct Project {
    budget: Budget,
    bandwidth: Option<Rc<RefCell<Bandwidth>>>,
    sandboxes: usize,
}

/// Runs until the server closes the control socket.
pub fn main_loop(control: OwnedFd) -> io::Result<()> {
    bound_complaints();
    NetProcess::prepare(control)?.run()
}

/// Panics that are written down; programs in sandboxes may find more of them than anybody wants to read.
const COMPLAINTS_MAX: usize = 20;

/// A panic ends the connection in whose engine it happens, and the process goes on.
fn bound_complaints() {
    let complain = std::panic::take_hook();
    let complaints = AtomicUsize::new(0);
    std::panic::set_hook(Box::new(move |panic| {
        if complaints.fetch_add(1, Ordering::Relaxed) < COMPLAINTS_MAX {
            complain(panic);
        }
    }));
}

// === impl NetProcess ===

impl NetProcess {
    /// Takes what running needs: the epoll set, buffers and a random number.
    pub fn prepare(control: OwnedFd) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &control, Token::Control.data(), EventFlags::IN)?;
        let mut seed = [0; 8];
        getrandom(&mut seed, GetRandomFlags::empty())?;
        let files = getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok());
        let files = files.unwrap_or(usize::MAX).saturating_sub(FILES_KEPT);
        // One file each; a sandbox has two.
        let flows = FLOWS_MAX.min(files / 4 * 3);
        let limits = Amounts { memory: MEMORY_MAX, flows, udp_flows: flows / 4 };
        let mut outbox = Outbox::new(control);
        outbox.push(NetMessage::Ready);
        let shared = Shared {
            epoll,
            outbox,
            incoming: vec![0; INCOMING].into(),
            outgoing: vec![0; FRAME_MAX].into(),
            unreached: Vec::new(),
            answers_due: 0,
        };
        Ok(Self {
            shared,
            message: vec![0; MESSAGE_MAX],
            sandboxes: HashMap::new(),
            indexes: Indexes::default(),
            projects: HashMap::new(),
            sandboxes_max: (files - flows) / 2,
            timers: Timers::default(),
            turns: VecDeque::new(),
            moved: Vec::new(),
            unreported: Vec::new(),
            report_due: Duration::ZERO,
            budget: Budget::new(limits),
            seed: u64::from_ne_bytes(seed),
            begun: Instant::now(),
            wants_room: false,
        })
    }

    /// Serves sandboxes until the server closes the control socket.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS_A_TURN);
        if !self.talk()? {
            return Ok(());
        }
        loop {
            self.indexes.turn();
            self.wait(&mut events)?;
            let now = self.begun.elapsed();
            for event in events.drain(..) {
                let (token, flags) = (Token::from_data(event.data), event.flags);
                match token {
                    Token::Control => {
                        if flags.intersects(EventFlags::IN | EventFlags::HUP) && !self.read_control(now)? {
                            return Ok(());
                        }
                    }
                    Token::Device(index) => self.read_device(index, now),
                    Token::Process(index) => {
                        self.with(index, |sandbox, shared| sandbox.end_soon(now, shared));
                    }
                    Token::Flow(flow) => {
                        self.with_flow(flow, |sandbox, _| sandbox.notice(flow, flags));
                    }
                }
            }
            self.take_turns(now);
            self.settle(now);
            if !self.talk()? {
                return Ok(());
            }
        }
    }

    fn wait(&self, events: &mut Vec<Event>) -> io::Result<()> {
        let now = self.begun.elapsed();
        let report = (!self.unreported.is_empty()).then_some(self.report_due);
        let sending = self.shared.outbox.due().filter(|_| !self.wants_room);
        let due = self.timers.due().into_iter().chain(report).chain(sending).min().map(|due| due.saturating_sub(now));
        let timeout = if self.turns.is_empty() && self.moved.is_empty() { due } else { Some(Duration::ZERO) };
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        });
        match epoll::wait(&self.shared.epoll, spare_capacity(events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Each sandbox with flows that wait serves some of them.
    fn take_turns(&mut self, now: Duration) {
        for _ in 0..self.turns.len() {
            let Some(index) = self.turns.pop_front() else { return };
            if self.with(index, |sandbox, shared| sandbox.take_turn(now, shared)) == Some(true) {
                self.turns.push_back(index);
            }
        }
    }

    /// Timers, ends and totals.
    fn settle(&mut self, now: Duration) {
        while let Some(index) = self.timers.next(now) {
            self.with(index, |sandbox, shared| sandbox.poll(now, shared));
        }
        while let Some(index) = self.moved.pop() {
            let Some(sandbox) = self.sandboxes.get_mut(&index) else { continue };
            sandbox.moved = false;
            let had_ready = sandbox.has_ready();
            sandbox.keep_to_bandwidth(now, &self.shared);
            if sandbox.has_ready() && !had_ready {
                self.turns.push_back(index);
            }
            if sandbox.is_over(now) {
                self.let_go(index, Gone::Ended, now);
            } else if let Some(due) = sandbox.due() {
                self.timers.set(index, due.max(now + Duration::from_millis(1)));
            }
        }
        if now >= self.report_due {
            self.report_due = now + REPORT_EVERY;
            while let Some(index) = self.unreported.pop() {
                if let Some(sandbox) = self.sandboxes.get_mut(&index) {
                    sandbox.unreported = false;
                    sandbox.report(&mut self.shared);
                }
            }
        }
    }

    /// Sends what waits for the server; returns whether it is still there.
    fn talk(&mut self) -> io::Result<bool> {
        let waits = loop {
            let waits = self.shared.outbox.flush(self.begun.elapsed()).or_else(|error| match error.kind() {
                // Reading finds the end.
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Ok(false),
                _ => Err(error),
            })?;
            if !self.shared.outbox.is_over() {
                break waits;
            }
            // Listened to meanwhile: the server may take nothing before it has said what it has to say.
            let control = self.shared.outbox.control();
            match poll(&mut [PollFd::new(&control, PollFlags::IN | PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if !self.read_control(self.begun.elapsed())? {
                return Ok(false);
            }
        };
        if waits != self.wants_room {
            self.wants_room = waits;
            let interest = if waits { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(&self.shared.epoll, self.shared.outbox.control(), Token::Control.data(), interest)?;
        }
        Ok(true)
    }

    fn read_device(&mut self, index: u64, now: Duration) {
        let read = self.with(index, |sandbox, shared| sandbox.read_device(now, shared));
        if let Some(Err(_)) = read {
            self.let_go(index, Gone::DeviceLost, now);
        }
    }

    /// Returns whether the server is still there.
    fn read_control(&mut self, now: Duration) -> io::Result<bool> {
        for _ in 0..MESSAGES_A_TURN {
            match protocol::receive(self.shared.outbox.control(), &mut self.message) {
                Ok(Some((message, descriptors))) => {
                    self.obey(message, descriptors, now);
                    // Mostly it was the only one; what comes without a question is found by the next turn.
                    self.shared.answers_due = self.shared.answers_due.saturating_sub(1);
                    if self.shared.answers_due == 0 {
                        break;
                    }
                }
                Ok(None) => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Those that come late are found by later turns, and some never come.
                    self.shared.answers_due = 0;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn obey(&mut self, message: ServerMessage, mut descriptors: Vec<OwnedFd>, now: Duration) {
        match message {
            ServerMessage::Attach { sandbox, project, limits } => {
                self.attach((sandbox, project), limits, descriptors, now);
            }
            ServerMessage::Detach { sandbox } => {
                if let Some(index) = self.indexes.of(sandbox) {
                    self.with(index, |sandbox, shared| sandbox.end_soon(now, shared));
                }
            }
            ServerMessage::Reset { sandbox, connections } => {
                if let Some(index) = self.indexes.of(sandbox) {
                    self.with(index, |sandbox, shared| sandbox.reset(&connections, shared));
                }
            }
            ServerMessage::Connected { flow, check_name } => {
                let (flow, socket) = (FlowId(flow), descriptors.pop());
                self.with_flow(flow, |sandbox, shared| match socket {
                    Some(socket) => sandbox.connected(flow, socket, check_name, now, shared),
                    // It found no room among this process' files.
                    None => sandbox.close(flow, now, shared),
                });
            }
            ServerMessage::Refused { flow, how } => {
                self.with_flow(FlowId(flow), |sandbox, shared| sandbox.refused(FlowId(flow), how, now, shared));
            }
            ServerMessage::Answered { query, bytes } => {
                let answer = |sandbox: &mut Sandbox, shared: &mut Shared| {
                    sandbox.answered(QueryId(query), &bytes, now, shared);
                };
                self.with(query >> Token::INDEX, answer);
            }
            ServerMessage::Named { flow, allowed } => {
                self.with_flow(FlowId(flow), |sandbox, shared| sandbox.named(FlowId(flow), allowed, now, shared));
            }
            ServerMessage::Ping => self.shared.outbox.push(NetMessage::Pong),
            ServerMessage::Close { flow } => {
                self.with_flow(FlowId(flow), |sandbox, shared| sandbox.close(FlowId(flow), now, shared));
            }
        }
    }

    fn attach(
        &mut self,
        (number, project): (u64, u64),
        limits: protocol::Limits,
        descriptors: Vec<OwnedFd>,
        now: Duration,
    ) {
        let attached = match <[OwnedFd; 2]>::try_from(descriptors) {
            Ok(descriptors) if self.sandboxes.len() < self.sandboxes_max => self.indexes.give(number).map(|own| {
                let seed = self.seed.rotate_left(17) ^ own.first_id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let of = self.projects.entry(project).or_insert_with(|| Project {
                    budget: self.budget.part(),
                    bandwidth: limits
                        .project_bytes_a_second
                        .map(|rate| Rc::new(RefCell::new(Bandwidth::new(rate, now)))),
                    sandboxes: 0,
                });
                let (whose, bounds) = ((number, project), (of.budget.part(), of.bandwidth.clone(), seed));
                let sandbox = Sandbox::attach(whose, own, descriptors, limits, bounds, now, &self.shared);
                (own.index, sandbox)
            }),
            _ => None,
        };
        match attached {
            Some((index, Ok(sandbox))) => {
                self.projects.entry(project).and_modify(|project| project.sandboxes += 1);
                self.sandboxes.insert(index, sandbox);
            }
            failed => {
                if let Some((index, _)) = failed {
                    self.indexes.take_back(index, number, None);
                }
                self.shared.outbox.push(NetMessage::Gone { sandbox: number, why: Gone::NotAttached });
            }
        }
        self.forget_project(project);
    }

    /// Ends all flows of a sandbox, and lets go of its device.
    fn let_go(&mut self, index: u64, why: Gone, now: Duration) {
        if let Some(sandbox) = self.sandboxes.remove(&index) {
            let (number, project, next_id) = (sandbox.number, sandbox.project, sandbox.stack.next_id());
            self.timers.remove(index);
            sandbox.detach(why, now, &mut self.shared);
            self.indexes.take_back(index, number, Some(next_id));
            self.projects.entry(project).and_modify(|project| project.sandboxes -= 1);
            self.forget_project(project);
        }
    }

    fn forget_project(&mut self, project: u64) {
        if self.projects.get(&project).is_some_and(|project| project.sandboxes == 0) {
            self.projects.remove(&project);
        }
    }

    fn with_flow(&mut self, flow: FlowId, work: impl FnOnce(&mut Sandbox, &mut Shared)) {
        self.with(flow.0 >> Token::INDEX, work);
    }

    /// Works with a sandbox that is attached.
    fn with<R>(&mut self, index: u64, work: impl FnOnce(&mut Sandbox, &mut Shared) -> R) -> Option<R> {
        let sandbox = self.sandboxes.get_mut(&index)?;
        let had_ready = sandbox.has_ready();
        let result = work(sandbox, &mut self.shared);
        if !std::mem::replace(&mut sandbox.moved, true) {
            self.moved.push(index);
        }
        if !std::mem::replace(&mut sandbox.unreported, true) {
            self.unreported.push(index);
        }
        if sandbox.has_ready() && !had_ready {
            self.turns.push_back(index);
        }
        Some(result)
    }
}
