//! A program's kernel, a link that loses and reorders packets, the stack, and far ends.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use faas_netstack::{
    Amounts, Budget, DEVICE_HEADER, Ending, FlowId, FlowProtocol, MTU, QueryId, Stack, StackEvent, StackLimits,
    StackOutput,
};
use faas_types::NetworkPlan;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

/// How far the clock moves between two turns.
const TICK: Duration = Duration::from_millis(1);

pub(crate) struct World {
    pub(crate) stack: Stack,
    pub(crate) budget: Budget,
    pub(crate) now: Duration,
    pub(crate) far: Far,
    /// Of a hundred packets, how many are lost, and how many overtake others.
    pub(crate) loss: u64,
    pub(crate) reorder: u64,
    /// What the far ends do by themselves.
    pub(crate) answers: Answers,
    /// Frames that reached the program's kernel.
    pub(crate) seen: Vec<Vec<u8>>,
    interface: Interface,
    sockets: SocketSet<'static>,
    to_stack: VecDeque<Vec<u8>>,
    to_kernel: VecDeque<Vec<u8>>,
    random: u64,
    next_port: u16,
}

/// How `Connect` is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    Nothing,
    Connected { check_name: bool },
}

/// What the surroundings of the stack have noted.
#[derive(Default)]
pub(crate) struct Far {
    pub(crate) ends: BTreeMap<FlowId, End>,
    pub(crate) asked: Vec<(FlowId, FlowProtocol, SocketAddr)>,
    pub(crate) names: Vec<(FlowId, Option<String>)>,
    pub(crate) queries: Vec<(QueryId, Vec<u8>, bool)>,
    pub(crate) datagrams: Vec<(FlowId, Vec<u8>)>,
    pub(crate) closed: Vec<(FlowId, Ending, u64, u64)>,
    frames: VecDeque<Vec<u8>>,
}

/// The far end of one connection.
#[derive(Default)]
pub(crate) struct End {
    pub(crate) received: Vec<u8>,
    /// Whether the program has finished.
    pub(crate) drained: bool,
    pub(crate) to_send: VecDeque<u8>,
    /// Finishes when all is sent.
    pub(crate) finishes: bool,
    pub(crate) finished: bool,
    /// Bytes that it takes a turn.
    pub(crate) takes: usize,
}

struct Kernel<'a> {
    inbox: &'a mut VecDeque<Vec<u8>>,
    outbox: Vec<Vec<u8>>,
}

struct In(Vec<u8>);
struct Out<'a>(&'a mut Vec<Vec<u8>>);

// === impl World ===

impl World {
    pub(crate) fn new(limits: StackLimits) -> Self {
        Self::within(limits, Budget::new(Amounts { memory: 64 << 20, flows: 10_000, udp_flows: 10_000 }))
    }

    /// The same with a stack that has this budget.
    pub(crate) fn within(limits: StackLimits, budget: Budget) -> Self {
        let mut inbox = VecDeque::new();
        let mut kernel = Kernel { inbox: &mut inbox, outbox: Vec::new() };
        let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut kernel, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(IpAddress::Ipv4(NetworkPlan::ADDRESS), 0)).expect("room");
            addresses.push(IpCidr::new(IpAddress::Ipv6(NetworkPlan::ADDRESS_V6), 0)).expect("room");
        });
        Self {
            stack: Stack::new(limits, budget.clone(), 1, 42),
            budget,
            now: Duration::ZERO,
            far: Far::default(),
            loss: 0,
            reorder: 0,
            answers: Answers::Connected { check_name: false },
            seen: Vec::new(),
            interface,
            sockets: SocketSet::new(Vec::new()),
            to_stack: VecDeque::new(),
            to_kernel: VecDeque::new(),
            random: 1,
            next_port: 40_000,
        }
    }

    pub(crate) fn seed(mut self, seed: u64, loss: u64, reorder: u64) -> Self {
        (self.random, self.loss, self.reorder) = (seed, loss, reorder);
        self
    }

    /// A program that connects.
    pub(crate) fn connect(&mut self, target: &str) -> SocketHandle {
        let ring = || tcp::SocketBuffer::new(vec![0; 128 << 10]);
        let mut socket = tcp::Socket::new(ring(), ring());
        socket.set_ack_delay(None);
        let target: SocketAddr = target.parse().expect("an address");
        self.next_port += 1;
        socket.connect(self.interface.context(), target, self.next_port).expect("a connection");
        self.sockets.add(socket)
    }

    pub(crate) fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Sends a frame as the program's kernel would.
    pub(crate) fn inject(&mut self, frame: Vec<u8>) {
        self.to_stack.push_back(frame);
    }

    /// Runs until `done`.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..200_000 {
            if done(self) {
                return;
            }
            self.turn();
        }
        panic!("never came: {what}");
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.turn();
        }
    }

    /// One round of everybody.
    pub(crate) fn turn(&mut self) {
        self.now += TICK;
        let mut kernel = Kernel { inbox: &mut self.to_kernel, outbox: Vec::new() };
        self.interface.poll(instant(self.now), &mut kernel, &mut self.sockets);
        for packet in kernel.outbox {
            let frame = [&[0; DEVICE_HEADER][..], &packet].concat();
            carry(&mut self.random, self.loss, self.reorder, &mut self.to_stack, frame);
        }
        while let Some(frame) = self.to_stack.pop_front() {
            if let Some(flow) = self.stack.input(&frame, self.now, &mut self.far) {
                self.serve(flow);
            }
        }
        self.answer();
        let flows: Vec<_> = self.far.ends.keys().copied().collect();
        for flow in flows {
            self.serve(flow);
        }
        self.stack.poll(self.now, &mut self.far);
        for frame in std::mem::take(&mut self.far.frames) {
            self.seen.push(frame.clone());
            let packet = frame[DEVICE_HEADER..].to_vec();
            carry(&mut self.random, self.loss, self.reorder, &mut self.to_kernel, packet);
        }
    }

    fn answer(&mut self) {
        let Answers::Connected { check_name } = self.answers else { return };
        for (flow, ..) in std::mem::take(&mut self.far.asked) {
            self.far.ends.insert(flow, End { takes: usize::MAX, ..End::default() });
            self.stack.connected(flow, check_name, self.now, &mut self.far);
        }
    }

    /// Moves bytes between a flow and its far end, as a driver of the stack does.
    pub(crate) fn serve(&mut self, flow: FlowId) {
        if let Some(end) = self.far.ends.get_mut(&flow) {
            let mut takes = end.takes;
            while takes > 0 {
                let taken = self.stack.read(flow, self.now, |bytes| {
                    let count = bytes.len().min(takes);
                    end.received.extend_from_slice(&bytes[..count]);
                    count
                });
                takes -= taken;
                if taken == 0 {
                    break;
                }
            }
            end.drained |= self.stack.outlook(flow).drained;
            while !end.to_send.is_empty() {
                let sending = end.to_send.make_contiguous();
                let filled = self.stack.write(flow, self.now, |room| {
                    let count = room.len().min(sending.len());
                    room[..count].copy_from_slice(&sending[..count]);
                    count
                });
                end.to_send.drain(..filled);
                if filled == 0 {
                    break;
                }
            }
            if end.finishes && !end.finished && end.to_send.is_empty() {
                end.finished = true;
                self.stack.finish(flow, self.now);
            }
        }
        self.stack.flush(flow, self.now, &mut self.far);
    }

    /// The far end of the only connection.
    pub(crate) fn end(&mut self) -> &mut End {
        self.far.ends.values_mut().next().expect("a connection")
    }
}

/// Puts a packet on its way, or not.
fn carry(random: &mut u64, loss: u64, reorder: u64, queue: &mut VecDeque<Vec<u8>>, packet: Vec<u8>) {
    if next(random) % 100 < loss {
        return;
    }
    let behind = if next(random) % 100 < reorder { next(random) as usize % (queue.len() + 1) } else { 0 };
    queue.insert(queue.len() - behind, packet);
}

pub(crate) fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *random >> 33
}

fn instant(now: Duration) -> Instant {
    Instant::from_micros(now.as_micros() as i64)
}

// === impl Far ===

impl StackOutput for Far {
    fn transmit<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut frame = vec![0xaa; length];
        let result = fill(&mut frame);
        self.frames.push_back(frame);
        result
    }

    fn event(&mut self, event: StackEvent<'_>) {
        match event {
            StackEvent::Connect { flow, protocol, target } => self.asked.push((flow, protocol, target)),
            StackEvent::Query { query, message, over_tcp } => self.queries.push((query, message.to_vec(), over_tcp)),
            StackEvent::Name { flow, name } => self.names.push((flow, name)),
            StackEvent::Datagram { flow, payload } => self.datagrams.push((flow, payload.to_vec())),
            StackEvent::Closed { flow, ending, up, down } => self.closed.push((flow, ending, up, down)),
        }
    }
}

// === impl Kernel ===

impl phy::Device for Kernel<'_> {
    type RxToken<'a>
        = In
    where
        Self: 'a;
    type TxToken<'a>
        = Out<'a>
    where
        Self: 'a;

    fn receive(&mut self, _now: Instant) -> Option<(In, Out<'_>)> {
        Some((In(self.inbox.pop_front()?), Out(&mut self.outbox)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Out<'_>> {
        (self.outbox.len() < 64).then_some(Out(&mut self.outbox))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        // As the kernel does where checksums are left to it.
        capabilities.checksum.tcp = Checksum::None;
        capabilities.checksum.ipv4 = Checksum::Both;
        capabilities
    }
}

impl phy::RxToken for In {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

impl phy::TxToken for Out<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut packet = vec![0; length];
        let result = write(&mut packet);
        self.0.push(packet);
        result
    }
}
