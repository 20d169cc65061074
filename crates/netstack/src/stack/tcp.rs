//! TCP: from the SYN to the bytes.

use std::net::SocketAddr;
use std::time::Duration;

use smoltcp::wire::TcpPacket;

use super::{Outlook, Stack, is_gateway};
use crate::dns::{self, DnsStream};
use crate::engine::Engine;
use crate::flow::{Connection, Ends, Hold, Place, State};
use crate::output::{Ending, FlowId, FlowProtocol, StackEvent, StackOutput};
use crate::reply;

/// A SYN with all options is not longer.
const SYN_MAX: usize = 128;

impl Stack {
    pub(super) fn tcp_input(
        &mut self,
        segment: &TcpPacket<&[u8]>,
        packet: &[u8],
        ends: Ends,
        now: Duration,
        output: &mut impl StackOutput,
    ) -> Option<FlowId> {
        let Some(id) = self.ids.get(&ends).copied() else {
            if reply::opens(segment) && packet.len() <= SYN_MAX {
                self.open(segment, packet, ends, now, output);
            } else {
                reply::reset(segment, ends.source, ends.target, output);
            }
            return None;
        };
        let flow = self.flows.get_mut(&id)?;
        let State::Open(connection) = &mut flow.state else {
            // A SYN that is sent again changes nothing.
            if segment.rst() {
                self.remove(id, Ending::Reset, output);
            }
            return None;
        };
        connection.engine.input(packet, now, output);
        if !connection.established && connection.engine.is_established() {
            connection.established = true;
            self.half_open -= 1;
            flow.active = now;
        }
        self.look_at_first_bytes(id, now, output);
        if self.pump_dns(id, now, output) { None } else { Some(id) }
    }

    fn open(
        &mut self,
        segment: &TcpPacket<&[u8]>,
        packet: &[u8],
        ends: Ends,
        now: Duration,
        output: &mut impl StackOutput,
    ) {
        let names = is_gateway(ends.target.ip());
        if names && ends.target.port() != dns::PORT {
            reply::reset(segment, ends.source, ends.target, output);
        } else if self.connections >= self.limits.connections {
            self.counters.over_limit += 1;
            reply::reset(segment, ends.source, ends.target, output);
        } else if self.half_open >= self.limits.half_open || !self.flow_rate.take(now) {
            // It is sent again when others have come through.
            self.counters.over_limit += 1;
        } else if let Some(place) = Place::within(&self.budget, FlowProtocol::Tcp) {
            if names {
                return self.open_dns(packet, ends, place, now, output);
            }
            let flow = self.add(ends, State::Asked(packet.into()), place, now);
            self.counters.flows += 1;
            output.event(StackEvent::Connect { flow, protocol: FlowProtocol::Tcp, target: ends.target });
        } else {
            self.counters.over_limit += 1;
            reply::reset(segment, ends.source, ends.target, output);
        }
    }

    fn open_dns(&mut self, packet: &[u8], ends: Ends, place: Place, now: Duration, output: &mut impl StackOutput) {
        // A program that does not read leaves a whole answer here.
        let answers = self.budget.memory.take(dns::STREAM_MAX);
        let engine = answers.is_some().then(|| self.accept(usize::MAX, ends.target, packet, now, output)).flatten();
        let Some(engine) = engine else {
            self.counters.over_limit += 1;
            return;
        };
        let dns = Some(DnsStream::default());
        let connection = Connection { engine, hold: Hold::No, dns, established: false, _answers: answers };
        self.add(ends, State::Open(Box::new(connection)), place, now);
    }

    /// Makes the connection of a SYN, for a sandbox that has so many.
    pub(super) fn accept(
        &mut self,
        connections: usize,
        target: SocketAddr,
        syn: &[u8],
        now: Duration,
        output: &mut impl StackOutput,
    ) -> Option<Engine> {
        let rings = self.budget.rings(connections, self.spare.pop()).ok()?;
        let seed = self.take_random();
        Engine::accept(rings, target, syn, seed, now, output)
    }

    /// Offers bytes that the program sent; `take` says how many the far end took. Returns that number.
    pub fn read(&mut self, id: FlowId, now: Duration, take: impl FnOnce(&[u8]) -> usize) -> usize {
        let Some(flow) = self.flows.get_mut(&id) else { return 0 };
        let State::Open(connection) = &mut flow.state else { return 0 };
        if connection.hold != Hold::No {
            return 0;
        }
        let taken = connection.engine.read(take);
        if taken > 0 {
            flow.active = now;
            flow.up += taken as u64;
            self.counters.up += taken as u64;
        }
        taken
    }

    /// Offers room for bytes of the far end; `fill` says how many it wrote. Returns that number.
    pub fn write(&mut self, id: FlowId, now: Duration, fill: impl FnOnce(&mut [u8]) -> usize) -> usize {
        let Some(flow) = self.flows.get_mut(&id) else { return 0 };
        let State::Open(connection) = &mut flow.state else { return 0 };
        let filled = connection.engine.write(fill);
        if filled > 0 {
            flow.active = now;
            flow.down += filled as u64;
            self.counters.down += filled as u64;
        }
        filled
    }

    /// What a connection has for its far end, apart from bytes.
    pub fn outlook(&mut self, id: FlowId) -> Outlook {
        let Some(flow) = self.flows.get_mut(&id) else { return Outlook::default() };
        let State::Open(connection) = &mut flow.state else { return Outlook::default() };
        Outlook { drained: connection.engine.is_drained(), room: connection.engine.room() }
    }

    /// The far end sends no more.
    pub fn finish(&mut self, id: FlowId, now: Duration) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        if let State::Open(connection) = &mut flow.state {
            connection.engine.finish();
            flow.active = now;
        }
    }

    /// The far end reset the connection; the next flush passes it on.
    pub fn abort(&mut self, id: FlowId) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        if let State::Open(connection) = &mut flow.state {
            connection.engine.abort();
        }
    }
}
