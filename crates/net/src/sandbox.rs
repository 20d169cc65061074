//! One sandbox: its device, its stack and the sockets of its flows.

mod answers;
mod service;

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use faas_netstack::{Budget, Counters, FlowId, Stack, StackLimits};
use rustix::event::epoll::{self, EventFlags};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::bandwidth::Bandwidth;
use crate::host::{HostSocket, keep_alive};
use crate::indexes::Own;
use crate::protocol::{self, Gone, NetMessage, Usage};
use crate::surroundings::{Shared, Surroundings};
use crate::token::Token;

/// Flows that are served in one turn.
const FLOWS_A_TURN: usize = 4;
/// How long what the programs of a sandbox have sent is still carried after they ended.
const LINGER: Duration = Duration::from_secs(2);
/// Turns at once for what programs sent last.
const LAST_TURNS: usize = 8;

pub(crate) struct Sandbox {
    pub(crate) number: u64,
    pub(crate) project: u64,
    index: u64,
    budget: Budget,
    device: OwnedFd,
    process: OwnedFd,
    pub(crate) stack: Stack,
    sockets: HashMap<FlowId, HostSocket>,
    /// Flows that wait for their turn.
    ready: VecDeque<FlowId>,
    /// Connections since the last report. Those that end before the next one are not worth their options.
    fresh: Vec<FlowId>,
    /// Whether it was moved since its timer was set.
    pub(crate) moved: bool,
    /// Whether it may have totals to tell.
    pub(crate) unreported: bool,
    reported: Counters,
    /// Its own and its project's, where they are bounded.
    bandwidths: Vec<Rc<RefCell<Bandwidth>>>,
    /// The part that was reported so far.
    spent: u64,
    /// Until when nothing is moved, since it has moved too much.
    paused: Option<Duration>,
    /// When it ends although connections are left, since its first process has ended or the server has let go of it.
    ends: Option<Duration>,
}

/// A device that gives nothing any more.
#[derive(Debug)]
pub(crate) struct DeviceGone;

// === impl Sandbox ===

impl Sandbox {
    pub(crate) fn attach(
        (number, project): (u64, u64),
        Own { index, first_id }: Own,
        [device, process]: [OwnedFd; 2],
        limits: protocol::Limits,
        (budget, bandwidth, seed): (Budget, Option<Rc<RefCell<Bandwidth>>>, u64),
        now: Duration,
        shared: &Shared,
    ) -> io::Result<Self> {
        fcntl_setfl(&device, fcntl_getfl(&device)? | OFlags::NONBLOCK)?;
        epoll::add(&shared.epoll, &device, Token::Device(index).data(), EventFlags::IN)?;
        let watched = epoll::add(&shared.epoll, &process, Token::Process(index).data(), EventFlags::IN);
        if watched.is_err() {
            // The server may hold a duplicate, so closing does not take it out of the set.
            let _ = epoll::delete(&shared.epoll, &device);
        }
        watched?;
        let own = limits.bytes_a_second.map(|rate| Rc::new(RefCell::new(Bandwidth::new(rate, now))));
        let stack = Stack::new(stack_limits(limits), budget.clone(), first_id, seed);
        Ok(Self {
            number,
            project,
            index,
            budget,
            device,
            process,
            stack,
            sockets: HashMap::new(),
            ready: VecDeque::new(),
            fresh: Vec::new(),
            moved: false,
            unreported: false,
            reported: Counters::default(),
            bandwidths: own.into_iter().chain(bandwidth).collect(),
            spent: 0,
            paused: None,
            ends: None,
        })
    }

    /// Takes note of a socket's events.
    pub(crate) fn notice(&mut self, flow: FlowId, events: EventFlags) {
        if self.sockets.get_mut(&flow).is_some_and(|socket| socket.notice(events)) {
            self.enqueue(flow);
        }
    }

    /// Serves some of the flows that wait; returns whether others are left.
    pub(crate) fn take_turn(&mut self, now: Duration, shared: &mut Shared) -> bool {
        if self.paused.is_some() {
            return false;
        }
        for _ in 0..FLOWS_A_TURN {
            let Some(flow) = self.ready.pop_front() else { return false };
            if let Some(socket) = self.sockets.get_mut(&flow) {
                socket.queued = false;
                self.serve(flow, now, shared);
            }
        }
        self.has_ready()
    }

    /// Whether flows wait for their turn, and can have it.
    pub(crate) fn has_ready(&self) -> bool {
        self.paused.is_none() && !self.ready.is_empty()
    }

    /// Looks at what was moved: pauses a sandbox where it or its project has moved too much, and lets it go on when its
    /// pause is over.
    pub(crate) fn keep_to_bandwidth(&mut self, now: Duration, shared: &Shared) {
        if self.bandwidths.is_empty() || self.paused.is_some_and(|until| now < until) {
            return;
        }
        let Counters { up, down, .. } = self.stack.counters();
        let bytes = (up + down).saturating_sub(self.spent);
        self.spent = up + down;
        let pauses = self.bandwidths.iter().filter_map(|bandwidth| bandwidth.borrow_mut().spend(bytes, now));
        let pause = pauses.max().map(|pause| now + pause);
        if pause.is_some() != self.paused.is_some() {
            let interest = if pause.is_some() { EventFlags::empty() } else { EventFlags::IN };
            // It has been in the set since it was attached.
            let _ = epoll::modify(&shared.epoll, &self.device, Token::Device(self.index).data(), interest);
        }
        self.paused = pause;
    }

    fn enqueue(&mut self, flow: FlowId) {
        if let Some(socket) = self.sockets.get_mut(&flow)
            && !socket.queued
        {
            socket.queued = true;
            self.ready.push_back(flow);
        }
    }

    /// Looks at what time has brought.
    pub(crate) fn poll(&mut self, now: Duration, shared: &mut Shared) {
        let (stack, mut surroundings) = self.split(shared);
        stack.poll(now, &mut surroundings);
    }

    /// The first process has ended, or the server wants its device back. What the kernel still has of its programs is
    /// carried for a moment.
    pub(crate) fn end_soon(&mut self, now: Duration, shared: &mut Shared) {
        if self.ends.is_some() {
            return;
        }
        self.ends = Some(now + LINGER);
        if self.paused.take().is_some() {
            // It has been in the set since it was attached.
            let _ = epoll::modify(&shared.epoll, &self.device, Token::Device(self.index).data(), EventFlags::IN);
        }
        self.bandwidths.clear();
        for _ in 0..LAST_TURNS {
            // A device that is gone has nothing left.
            let _ = self.read_device(now, shared);
        }
        // It stays ready for ever once the process has ended.
        let _ = epoll::delete(&shared.epoll, &self.process);
    }

    /// Whether nothing is left to do.
    pub(crate) fn is_over(&self, now: Duration) -> bool {
        self.ends.is_some_and(|ends| now >= ends || self.stack.connections() == 0)
    }

    /// When it is to be looked at.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.stack.due().into_iter().chain(self.ends).chain(self.paused).min()
    }

    /// Ends all flows and lets go of the device.
    pub(crate) fn detach(mut self, why: Gone, now: Duration, shared: &mut Shared) {
        let (stack, mut surroundings) = self.split(shared);
        stack.close_all(now, &mut surroundings);
        self.report(shared);
        // The server may hold duplicates, so closing takes neither out of the set.
        let _ = epoll::delete(&shared.epoll, &self.device);
        let _ = epoll::delete(&shared.epoll, &self.process);
        shared.outbox.push(NetMessage::Gone { sandbox: self.number, why });
    }

    /// Tells the server of totals that have changed, a while after something was moved.
    pub(crate) fn report(&mut self, shared: &mut Shared) {
        self.stack.trim();
        for flow in std::mem::take(&mut self.fresh) {
            if let Some(HostSocket { socket, is_udp: false, .. }) = self.sockets.get(&flow) {
                keep_alive(socket);
            }
        }
        let counters = self.stack.counters();
        if counters == self.reported {
            return;
        }
        self.reported = counters;
        let Counters { up, down, flows, queries, .. } = counters;
        let usage = Usage { up, down, flows, queries, dropped: counters.dropped() };
        shared.outbox.push(NetMessage::Usage { sandbox: self.number, usage });
    }

    fn split<'a>(&'a mut self, shared: &'a mut Shared) -> (&'a mut Stack, Surroundings<'a>) {
        let surroundings =
            Surroundings { number: self.number, device: self.device.as_fd(), sockets: &mut self.sockets, shared };
        (&mut self.stack, surroundings)
    }
}

fn stack_limits(limits: protocol::Limits) -> StackLimits {
    StackLimits {
        connections: limits.connections as usize,
        half_open: limits.half_open as usize,
        udp_flows: limits.udp_flows as usize,
        queries: limits.queries as usize,
        flows_a_second: limits.flows_a_second,
        queries_a_second: limits.queries_a_second,
        ..StackLimits::default()
    }
}
