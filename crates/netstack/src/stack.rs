//! The stack of one sandbox.

mod control;
mod names;
mod tcp;
mod udp;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use faas_types::NetworkPlan;

use crate::budget::Budget;
use crate::dns::Queries;
use crate::flow::{Ends, Flow, Place, State};
use crate::limits::{Counters, Rate, StackLimits};
use crate::memory::Rings;
use crate::output::{Ending, FlowId, FlowProtocol, FlowRefusal, StackEvent, StackOutput};
use crate::packet::{Content, Packet, Unserved};
use crate::reply;
use crate::timers::Timers;

/// How long the end of what a program sends may wait to be confirmed, for the far end's to go with it. Programs notice
/// nothing: their kernel sends an end again after 200 ms.
const END_PATIENCE: Duration = Duration::from_millis(10);
/// Memory of connections that have ended, kept for the next ones.
const SPARE_MAX: usize = 4;
/// Flows that are looked at in one turn because of their timers.
const TIMERS_A_TURN: usize = 64;

/// The endpoint of everything that a sandbox sends.
pub struct Stack {
    limits: StackLimits,
    budget: Budget,
    flows: HashMap<FlowId, Flow>,
    ids: HashMap<Ends, FlowId>,
    timers: Timers<FlowId>,
    queries: Queries,
    counters: Counters,
    flow_rate: Rate,
    query_rate: Rate,
    connections: usize,
    /// Of these, the ones that have memory.
    open: usize,
    half_open: usize,
    udp_flows: usize,
    next_id: u64,
    random: u64,
    /// Of the connections that ended last: the next ones need no new memory.
    spare: Vec<Rings>,
}

/// What a flow of TCP has for its far end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// The program sends no more, and all that it sent was read.
    pub drained: bool,
    /// Bytes of the far end that fit now.
    pub room: usize,
}

// === impl Stack ===

impl Stack {
    /// A stack whose flows and queries have the numbers from `first_id` on. `budget` is its part of what there is, `seed`
    /// makes its sequence numbers.
    pub fn new(limits: StackLimits, budget: Budget, first_id: u64, seed: u64) -> Self {
        let burst = u32::try_from(limits.connections).unwrap_or(u32::MAX);
        Self {
            limits,
            flow_rate: Rate::new(limits.flows_a_second, burst),
            query_rate: Rate::new(limits.queries_a_second, limits.queries_a_second),
            budget,
            flows: HashMap::new(),
            ids: HashMap::new(),
            timers: Timers::default(),
            queries: Queries::default(),
            counters: Counters::default(),
            connections: 0,
            open: 0,
            half_open: 0,
            udp_flows: 0,
            next_id: first_id,
            random: seed,
            spare: Vec::new(),
        }
    }

    /// Takes in a frame. Returns the connection that it moved: the far end may now get or send something, and then
    /// [`Stack::flush`] answers the frame.
    pub fn input(&mut self, frame: &[u8], now: Duration, output: &mut impl StackOutput) -> Option<FlowId> {
        let packet = match Packet::parse(frame) {
            Ok(packet) if is_sandbox(packet.source.ip()) => packet,
            Ok(_) | Err(Unserved::Malformed) => {
                self.counters.malformed += 1;
                return None;
            }
            Err(Unserved::Fragment) => {
                self.counters.fragments += 1;
                return None;
            }
        };
        match packet.content {
            Content::Tcp(segment) => {
                let ends = Ends { protocol: FlowProtocol::Tcp, source: packet.source, target: packet.target };
                self.tcp_input(&segment, packet.bytes, ends, now, output)
            }
            Content::Udp(payload) => {
                let ends = Ends { protocol: FlowProtocol::Udp, source: packet.source, target: packet.target };
                self.udp_input(payload, packet.bytes, ends, now, output);
                None
            }
        }
    }

    /// Sends what a flow has for the program, once the far end has taken and given what it could. Returns whether there
    /// is more to send: then it is to be called again, after others had their turn.
    pub fn flush(&mut self, id: FlowId, now: Duration, output: &mut impl StackOutput) -> bool {
        let Some(flow) = self.flows.get_mut(&id) else { return false };
        let State::Open(connection) = &mut flow.state else { return false };
        let more = connection.engine.flush(now, output);
        if let Some(ending) = connection.engine.over() {
            self.counters.panics += u64::from(connection.engine.has_panicked());
            if connection.engine.has_panicked() {
                reply::probe(flow.ends.target, flow.ends.source, output);
            }
            self.remove(id, ending, output);
            return false;
        }
        let expires = flow.expires(&self.limits);
        if let State::Open(connection) = &mut flow.state {
            let due = connection.engine.due(now).map_or(expires, |due| due.min(expires));
            self.timers.set(id, due);
        }
        more
    }

    /// The same for a flow whose program has just sent its end. Where it has nothing else to say, the confirmation goes with
    /// the end of the far end's that comes in a moment.
    pub fn flush_soon(&mut self, id: FlowId, now: Duration, output: &mut impl StackOutput) -> bool {
        if let Some(Flow { state: State::Open(connection), .. }) = self.flows.get_mut(&id)
            && !connection.engine.has_unsent()
        {
            self.timers.set(id, now + END_PATIENCE);
            return false;
        }
        self.flush(id, now, output)
    }

    /// Looks at flows whose time has come.
    pub fn poll(&mut self, now: Duration, output: &mut impl StackOutput) {
        for _ in 0..TIMERS_A_TURN {
            let Some(id) = self.timers.next(now) else { return };
            let Some(flow) = self.flows.get_mut(&id) else { continue };
            let expires = flow.expires(&self.limits);
            let expired = now >= expires;
            match &mut flow.state {
                State::Open(connection) => {
                    if expired {
                        connection.engine.abort();
                    }
                    self.flush(id, now, output);
                }
                State::UdpOpen if expired => self.remove(id, Ending::Clean, output),
                _ if expired => self.remove(id, Ending::Reset, output),
                _ => self.timers.set(id, expires),
            }
        }
    }

    /// When [`Stack::poll`] is to be called.
    pub fn due(&self) -> Option<Duration> {
        self.timers.due()
    }

    /// Totals so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What a flow carries, while it exists.
    pub fn protocol(&self, id: FlowId) -> Option<FlowProtocol> {
        self.flows.get(&id).map(|flow| flow.ends.protocol)
    }

    /// The number that the next flow or query gets.
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Connections that exist, half-open ones included.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// Flows that exist.
    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    fn add(&mut self, ends: Ends, state: State, place: Place, now: Duration) -> FlowId {
        let id = FlowId(self.take_id());
        let flow = Flow::new(ends, state, place, now);
        match ends.protocol {
            FlowProtocol::Tcp => self.connections += 1,
            FlowProtocol::Udp => self.udp_flows += 1,
        }
        self.half_open += usize::from(flow.is_half_open());
        self.open += usize::from(matches!(flow.state, State::Open(_)));
        self.timers.set(id, flow.expires(&self.limits));
        self.ids.insert(ends, id);
        self.flows.insert(id, flow);
        id
    }

    fn remove(&mut self, id: FlowId, ending: Ending, output: &mut impl StackOutput) {
        let Some(flow) = self.take(id) else { return };
        let unknown = match &flow.state {
            State::Open(connection) => connection.dns.is_some(),
            State::UdpRefused(_) => true,
            _ => false,
        };
        if !unknown {
            output.event(StackEvent::Closed { flow: id, ending, up: flow.up, down: flow.down });
        }
        if let State::Open(connection) = flow.state
            && self.spare.len() < SPARE_MAX
        {
            self.spare.push(connection.engine.into_rings());
        }
    }

    /// Gives memory back that is kept for the next connection.
    pub fn trim(&mut self) {
        self.spare.clear();
    }

    /// Forgets a flow without a word.
    fn take(&mut self, id: FlowId) -> Option<Flow> {
        let flow = self.flows.remove(&id)?;
        self.ids.remove(&flow.ends);
        self.timers.remove(id);
        match flow.ends.protocol {
            FlowProtocol::Tcp => self.connections -= 1,
            FlowProtocol::Udp => self.udp_flows -= 1,
        }
        self.half_open -= usize::from(flow.is_half_open());
        self.open -= usize::from(matches!(flow.state, State::Open(_)));
        Some(flow)
    }

    fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// SplitMix64: spreads the seed over connections.
    fn take_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn is_sandbox(address: IpAddr) -> bool {
    address == NetworkPlan::ADDRESS || address == NetworkPlan::ADDRESS_V6
}

fn is_gateway(address: IpAddr) -> bool {
    address == NetworkPlan::GATEWAY || address == NetworkPlan::GATEWAY_V6
}

/// Whether a connection can lead there.
fn is_unicast(target: SocketAddr) -> bool {
    let address = target.ip();
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !broadcast && !address.is_multicast() && !address.is_unspecified()
}

/// Says that a packet reached nothing, unless the program is to wait.
fn refuse(packet: &[u8], ends: Ends, how: FlowRefusal, output: &mut impl StackOutput) {
    if how == FlowRefusal::TimedOut {
        return;
    }
    // Programs' kernels believe no word of a group or a broadcast address.
    let from = match ends.target.ip() {
        target if is_unicast(ends.target) => target,
        IpAddr::V4(_) => NetworkPlan::GATEWAY.into(),
        IpAddr::V6(_) => NetworkPlan::GATEWAY_V6.into(),
    };
    reply::unreachable(packet, (from, ends.source.ip()), ends.protocol, how, output);
}
