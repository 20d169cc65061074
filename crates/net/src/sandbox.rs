//! One sandbox: its device, its stack and the sockets of its flows.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use faas_netstack::{Budget, Counters, Ending, Event, FlowId, Limits, Output, Protocol, QueryId, Refusal, Stack};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use crate::bandwidth::Bandwidth;
use crate::host::{HostSocket, Received};
use crate::outbox::Outbox;
use crate::protocol::{self, NetMessage, Usage};

/// Frames that are read in one turn: more would let others wait behind a bulk transfer.
const FRAMES_A_TURN: usize = 4;
/// Datagrams of one flow that are passed on in one turn.
const DATAGRAMS_A_TURN: usize = 16;
/// Flows that are served in one turn.
const FLOWS_A_TURN: usize = 4;
/// How long what the programs of a sandbox have sent is still carried after they ended.
const LINGER: Duration = Duration::from_secs(2);

/// Turns at once for what programs sent last.
const LAST_TURNS: usize = 8;

pub(crate) struct Sandbox {
    pub(crate) number: u64,
    index: u64,
    device: OwnedFd,
    process: OwnedFd,
    pub(crate) stack: Stack,
    sockets: HashMap<FlowId, HostSocket>,
    /// Flows that wait for their turn.
    ready: VecDeque<FlowId>,
    /// Whether it was moved since its timer was set.
    pub(crate) moved: bool,
    /// Whether it may have totals to tell.
    pub(crate) unreported: bool,
    reported: Counters,
    bandwidth: Option<Bandwidth>,
    /// Until when nothing is moved, since it has moved too much.
    paused: Option<Duration>,
    /// When it ends although flows are left, since its first process has ended.
    ends: Option<Duration>,
}

/// What all sandboxes use in turn.
pub(crate) struct Shared {
    pub(crate) epoll: OwnedFd,
    pub(crate) outbox: Outbox,
    /// What comes from a device or as a datagram.
    pub(crate) incoming: Box<[u8]>,
    /// What goes to a device.
    pub(crate) outgoing: Box<[u8]>,
    /// Flows whose far end could not be reached by a datagram.
    pub(crate) unreached: Vec<(FlowId, Refusal)>,
}

/// The surroundings of a stack.
struct Surroundings<'a> {
    number: u64,
    device: BorrowedFd<'a>,
    sockets: &'a mut HashMap<FlowId, HostSocket>,
    shared: &'a mut Shared,
}

/// What is waited for, as the epoll set knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Control,
    Device(u64),
    Process(u64),
    Flow(FlowId),
}

/// A device that gives nothing any more.
#[derive(Debug)]
pub(crate) struct DeviceGone;

// === impl Token ===

impl Token {
    /// Flows have the sandbox's index above these bits.
    pub(crate) const INDEX: u32 = 40;
    /// More sandboxes than these are not attached in the life of a process.
    pub(crate) const INDEX_MAX: u64 = 1 << 22;
    const KIND: u32 = 62;

    pub(crate) fn data(self) -> EventData {
        EventData::new_u64(match self {
            Self::Control => 0,
            Self::Flow(flow) => flow.0,
            Self::Device(index) => 1 << Self::KIND | index,
            Self::Process(index) => 2 << Self::KIND | index,
        })
    }

    pub(crate) fn from_data(data: EventData) -> Self {
        let index = data.u64() & (Self::INDEX_MAX - 1);
        match data.u64() >> Self::KIND {
            1 => Self::Device(index),
            2 => Self::Process(index),
            _ if data.u64() == 0 => Self::Control,
            _ => Self::Flow(FlowId(data.u64())),
        }
    }
}

// === impl Sandbox ===

impl Sandbox {
    pub(crate) fn attach(
        number: u64,
        index: u64,
        [device, process]: [OwnedFd; 2],
        limits: protocol::Limits,
        (budget, seed): (Budget, u64),
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
        let stack = Stack::new(stack_limits(limits), budget, index << Token::INDEX, seed);
        Ok(Self {
            number,
            index,
            device,
            process,
            stack,
            sockets: HashMap::new(),
            ready: VecDeque::new(),
            moved: false,
            unreported: false,
            reported: Counters::default(),
            bandwidth: limits.bytes_a_second.map(|rate| Bandwidth::new(rate, now)),
            paused: None,
            ends: None,
        })
    }

    /// Reads some frames, and serves the flows that they moved.
    pub(crate) fn read_device(&mut self, now: Duration, shared: &mut Shared) -> Result<(), DeviceGone> {
        let mut moved = [None; FRAMES_A_TURN];
        for place in &mut moved {
            let length = match rustix::io::read(&self.device, &mut shared.incoming[..]) {
                Ok(length) => length,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => break,
                Err(_) => return Err(DeviceGone),
            };
            // The buffer is on loan while the stack may write to the device.
            let frame = std::mem::take(&mut shared.incoming);
            let (stack, mut surroundings) = self.split(shared);
            *place = stack.input(&frame[..length], now, &mut surroundings);
            shared.incoming = frame;
            self.tell_unreached(shared);
        }
        for (place, flow) in moved.iter().enumerate() {
            if let Some(flow) = flow
                && !moved[..place].contains(&Some(*flow))
            {
                self.serve(*flow, now, shared);
            }
        }
        Ok(())
    }

    fn tell_unreached(&mut self, shared: &mut Shared) {
        for (flow, why) in std::mem::take(&mut shared.unreached) {
            let (stack, mut surroundings) = self.split(shared);
            stack.unreachable(flow, why, &mut surroundings);
        }
    }

    /// Takes note of a socket's events.
    pub(crate) fn notice(&mut self, flow: FlowId, events: EventFlags) {
        if let Some(socket) = self.sockets.get_mut(&flow) {
            socket.notice(events);
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

    /// Looks at what was moved: pauses a sandbox that has moved too much, and lets it go on when its pause is over.
    pub(crate) fn keep_to_bandwidth(&mut self, now: Duration, shared: &Shared) {
        let Some(bandwidth) = &mut self.bandwidth else { return };
        if self.paused.is_some_and(|until| now < until) {
            return;
        }
        let counters = self.stack.counters();
        let pause = bandwidth.count(counters.up + counters.down, now).map(|pause| now + pause);
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

    /// Moves bytes between a flow and its socket, and sends what the program is to get.
    pub(crate) fn serve(&mut self, flow: FlowId, now: Duration, shared: &mut Shared) {
        let more = match self.sockets.get_mut(&flow) {
            Some(socket) if socket.is_udp => self.serve_udp(flow, now, shared),
            Some(socket) => {
                let more = carry(&mut self.stack, flow, socket, now);
                let (stack, mut surroundings) = self.split(shared);
                stack.flush(flow, now, &mut surroundings) || more
            }
            None => {
                let (stack, mut surroundings) = self.split(shared);
                stack.flush(flow, now, &mut surroundings)
            }
        };
        if more {
            self.enqueue(flow);
        }
    }

    fn serve_udp(&mut self, flow: FlowId, now: Duration, shared: &mut Shared) -> bool {
        for _ in 0..DATAGRAMS_A_TURN {
            let Some(socket) = self.sockets.get_mut(&flow) else { return false };
            let mut buffer = std::mem::take(&mut shared.incoming);
            let received = socket.receive(&mut buffer);
            let (stack, mut surroundings) = self.split(shared);
            match received {
                Received::Bytes(length) => stack.datagram(flow, &buffer[..length], now, &mut surroundings),
                Received::Failed(error) => stack.unreachable(flow, refusal(error), &mut surroundings),
                Received::Nothing | Received::End => {}
            }
            shared.incoming = buffer;
            if matches!(received, Received::Nothing | Received::End) {
                return false;
            }
        }
        true
    }

    /// The server has connected a flow.
    pub(crate) fn connected(
        &mut self,
        flow: FlowId,
        socket: OwnedFd,
        check_name: bool,
        now: Duration,
        shared: &mut Shared,
    ) {
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let is_udp = self.stack.protocol(flow) == Some(Protocol::Udp);
        if self.sockets.contains_key(&flow)
            || epoll::add(&shared.epoll, &socket, Token::Flow(flow).data(), interest).is_err()
        {
            return;
        }
        self.sockets.insert(flow, HostSocket::new(socket, is_udp));
        let (stack, mut surroundings) = self.split(shared);
        if !stack.connected(flow, check_name, now, &mut surroundings) {
            // The flow has ended meanwhile.
            surroundings.release(flow, Ending::Reset);
        }
        self.tell_unreached(shared);
    }

    pub(crate) fn refused(&mut self, flow: FlowId, how: protocol::Refusal, now: Duration, shared: &mut Shared) {
        let how = match how {
            protocol::Refusal::Denied => Refusal::Denied,
            protocol::Refusal::Refused => Refusal::Refused,
            protocol::Refusal::Unreachable => Refusal::Unreachable,
            protocol::Refusal::TimedOut => Refusal::TimedOut,
        };
        let (stack, mut surroundings) = self.split(shared);
        stack.refused(flow, how, now, &mut surroundings);
    }

    pub(crate) fn answered(&mut self, query: QueryId, message: &[u8], now: Duration, shared: &mut Shared) {
        let (stack, mut surroundings) = self.split(shared);
        stack.answered(query, message, now, &mut surroundings);
    }

    pub(crate) fn named(&mut self, flow: FlowId, allowed: bool, now: Duration, shared: &mut Shared) {
        let (stack, mut surroundings) = self.split(shared);
        stack.named(flow, allowed, now, &mut surroundings);
        self.serve(flow, now, shared);
    }

    pub(crate) fn close(&mut self, flow: FlowId, now: Duration, shared: &mut Shared) {
        let (stack, mut surroundings) = self.split(shared);
        stack.close(flow, now, &mut surroundings);
    }

    pub(crate) fn reset(&mut self, connections: &[protocol::Connection], shared: &mut Shared) {
        let (stack, mut surroundings) = self.split(shared);
        for left in connections {
            let source = SocketAddr::new(left.source, left.source_port);
            stack.reset_left_behind(source, SocketAddr::new(left.address, left.port), &mut surroundings);
        }
    }

    /// Looks at what time has brought.
    pub(crate) fn poll(&mut self, now: Duration, shared: &mut Shared) {
        let (stack, mut surroundings) = self.split(shared);
        stack.poll(now, &mut surroundings);
    }

    /// The first process has ended. What the kernel still has of its programs is carried for a moment.
    pub(crate) fn process_ended(&mut self, now: Duration, shared: &mut Shared) {
        self.ends = Some(now + LINGER);
        if self.paused.take().is_some() {
            // It has been in the set since it was attached.
            let _ = epoll::modify(&shared.epoll, &self.device, Token::Device(self.index).data(), EventFlags::IN);
        }
        self.bandwidth = None;
        for _ in 0..LAST_TURNS {
            // A device that is gone has nothing left.
            let _ = self.read_device(now, shared);
        }
        // It stays ready for ever.
        let _ = epoll::delete(&shared.epoll, &self.process);
    }

    /// Whether nothing is left to do.
    pub(crate) fn is_over(&self, now: Duration) -> bool {
        self.ends.is_some_and(|ends| now >= ends || self.stack.flows() == 0)
    }

    /// When it is to be looked at.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.stack.due().into_iter().chain(self.ends).chain(self.paused).min()
    }

    /// Ends all flows and lets go of the device.
    pub(crate) fn detach(mut self, now: Duration, shared: &mut Shared) {
        let (stack, mut surroundings) = self.split(shared);
        stack.close_all(now, &mut surroundings);
        self.report(shared);
        // The server may hold duplicates, so closing takes neither out of the set.
        let _ = epoll::delete(&shared.epoll, &self.device);
        let _ = epoll::delete(&shared.epoll, &self.process);
        shared.outbox.push(NetMessage::Gone { sandbox: self.number });
    }

    /// Tells the server of totals that have changed.
    pub(crate) fn report(&mut self, shared: &mut Shared) {
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

/// Moves what fits in both directions; returns whether the far end has more than that.
fn carry(stack: &mut Stack, flow: FlowId, socket: &mut HostSocket, now: Duration) -> bool {
    while stack.read(flow, now, |bytes| socket.send(bytes)) > 0 {}
    let outlook = stack.outlook(flow);
    if outlook.drained {
        socket.shut();
    }
    let mut room = outlook.room;
    // Two parts where the free room wraps around.
    for _ in 0..2 {
        if room == 0 || !socket.readable || socket.ended {
            break;
        }
        let mut received = Received::Nothing;
        let filled = stack.write(flow, now, |room| {
            received = socket.receive(room);
            if let Received::Bytes(count) = received { count } else { 0 }
        });
        room -= filled;
        if received == Received::End {
            stack.finish(flow, now);
        }
    }
    if socket.has_failed() {
        stack.abort(flow);
    }
    room > 0 && socket.readable && !socket.ended && !socket.has_failed()
}

fn refusal(error: Errno) -> Refusal {
    match error {
        Errno::CONNREFUSED => Refusal::Refused,
        Errno::ACCESS | Errno::PERM => Refusal::Denied,
        Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::NETDOWN => Refusal::Unreachable,
        _ => Refusal::TimedOut,
    }
}

fn stack_limits(limits: protocol::Limits) -> Limits {
    Limits {
        connections: limits.connections as usize,
        half_open: limits.half_open as usize,
        udp_flows: limits.udp_flows as usize,
        queries: limits.queries as usize,
        flows_a_second: limits.flows_a_second,
        queries_a_second: limits.queries_a_second,
        ..Limits::default()
    }
}

// === impl Surroundings ===

impl Surroundings<'_> {
    fn release(&mut self, flow: FlowId, ending: Ending) {
        if let Some(socket) = self.sockets.remove(&flow) {
            // The server may hold a duplicate.
            let _ = epoll::delete(&self.shared.epoll, &socket.socket);
            // Fails where there is no connection to reset any more.
            let _ = socket.close(ending);
        }
    }
}

impl Output for Surroundings<'_> {
    fn transmit<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let frame = &mut self.shared.outgoing[..length];
        let result = fill(frame);
        // A frame that the device does not take is lost, and sent again where that matters.
        let _ = rustix::io::write(self.device, frame);
        result
    }

    fn event(&mut self, event: Event<'_>) {
        let sandbox = self.number;
        let message = match event {
            Event::Connect { flow, protocol, target } => {
                let protocol = match protocol {
                    Protocol::Tcp => protocol::Protocol::Tcp,
                    Protocol::Udp => protocol::Protocol::Udp,
                };
                NetMessage::Connect { sandbox, flow: flow.0, protocol, address: target.ip(), port: target.port() }
            }
            Event::Query { query, message, over_tcp } => {
                NetMessage::Resolve { sandbox, query: query.0, bytes: message.to_vec(), over_tcp }
            }
            Event::Name { flow, name } => NetMessage::Name { flow: flow.0, sni: name },
            Event::Datagram { flow, payload } => {
                if let Some(socket) = self.sockets.get_mut(&flow)
                    && let Err(error) = socket.send_datagram(payload)
                {
                    self.shared.unreached.push((flow, refusal(error)));
                }
                return;
            }
            Event::Closed { flow, ending, up, down } => {
                self.release(flow, ending);
                NetMessage::Closed { flow: flow.0, up, down }
            }
        };
        self.shared.outbox.push(message);
    }
}
