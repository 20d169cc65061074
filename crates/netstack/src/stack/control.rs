//! What the server decides about flows.

use std::net::SocketAddr;
use std::time::Duration;

use smoltcp::wire::TcpPacket;

use super::{Stack, is_unicast, refuse};
use crate::flow::{Connection, Ends, Hold, State};
use crate::frame;
use crate::output::{Ending, FlowId, FlowRefusal, StackEvent, StackOutput};
use crate::reply;

impl Stack {
    /// The far end's connection stands. With `check_name`, what the program sends is held back until
    /// [`Stack::named`]. Returns whether the flow still exists.
    pub fn connected(&mut self, id: FlowId, check_name: bool, now: Duration, output: &mut impl StackOutput) -> bool {
        let Some(flow) = self.flows.get_mut(&id) else { return false };
        let ends = flow.ends;
        match std::mem::replace(&mut flow.state, State::UdpOpen) {
            State::Asked(syn) => {
                let hold = if check_name { Hold::Name } else { Hold::No };
                self.begin(id, ends, syn, hold, now, output)
            }
            State::UdpAsked(waiting) => {
                flow.active = now;
                for payload in &waiting.datagrams {
                    flow.up += payload.len() as u64;
                    self.counters.up += payload.len() as u64;
                    output.event(StackEvent::Datagram { flow: id, payload });
                }
                let expires = flow.expires(&self.limits);
                self.timers.set(id, expires);
                true
            }
            state @ (State::Open(_) | State::UdpOpen | State::UdpRefused(_)) => {
                flow.state = state;
                false
            }
        }
    }

    fn begin(
        &mut self,
        id: FlowId,
        ends: Ends,
        syn: Box<[u8]>,
        hold: Hold,
        now: Duration,
        output: &mut impl StackOutput,
    ) -> bool {
        let possible = is_unicast(ends.target);
        let engine = possible.then(|| self.accept(self.open, ends.target, &syn, now, output)).flatten();
        let Some(flow) = self.flows.get_mut(&id) else { return false };
        flow.active = now;
        if let Some(engine) = engine {
            let connection = Connection { engine, hold, dns: None, established: false, _answers: None };
            flow.state = State::Open(Box::new(connection));
            self.open += 1;
            self.flush(id, now, output);
            return true;
        }
        self.counters.over_limit += 1;
        refuse_syn(&syn, ends, FlowRefusal::Refused, output);
        flow.state = State::Asked(syn);
        self.remove(id, Ending::Reset, output);
        false
    }

    /// There is no connection. Returns whether the flow still existed.
    pub fn refused(&mut self, id: FlowId, how: FlowRefusal, now: Duration, output: &mut impl StackOutput) -> bool {
        let Some(flow) = self.flows.get_mut(&id) else { return false };
        let ends = flow.ends;
        match &flow.state {
            State::Asked(syn) => {
                refuse_syn(syn, ends, how, output);
                self.take(id);
                true
            }
            State::UdpAsked(_) => {
                flow.state = State::UdpRefused(how);
                flow.active = now;
                let expires = flow.expires(&self.limits);
                self.timers.set(id, expires);
                refuse(&reply::datagram_head(ends.source, ends.target), ends, how, output);
                true
            }
            _ => false,
        }
    }

    /// Whether a connection that waits for it may go on under its name.
    pub fn named(&mut self, id: FlowId, allowed: bool, now: Duration, output: &mut impl StackOutput) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let State::Open(connection) = &mut flow.state else { return };
        if connection.hold != Hold::Answer {
            return;
        }
        connection.hold = Hold::No;
        if !allowed {
            connection.engine.abort();
            self.flush(id, now, output);
        }
    }

    /// Resets a flow.
    pub fn close(&mut self, id: FlowId, now: Duration, output: &mut impl StackOutput) {
        self.end(id, Ending::Reset, now, output);
    }

    fn end(&mut self, id: FlowId, ending: Ending, now: Duration, output: &mut impl StackOutput) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        match &mut flow.state {
            State::Open(connection) => {
                connection.engine.abort();
                connection.engine.flush(now, output);
                if connection.engine.has_panicked() {
                    self.flush(id, now, output);
                }
            }
            State::Asked(syn) => refuse_syn(syn, flow.ends, FlowRefusal::Refused, output),
            _ => {}
        }
        self.remove(id, ending, output);
    }

    /// Ends all flows, towards programs with a reset. A far end that got all that its program had sent sees an end, and one
    /// that did not a reset.
    pub fn close_all(&mut self, now: Duration, output: &mut impl StackOutput) {
        let all: Vec<_> = self.flows.keys().copied().collect();
        for id in all {
            let Some(flow) = self.flows.get_mut(&id) else { continue };
            let is_whole = match &mut flow.state {
                State::Open(connection) => connection.hold == Hold::No && !connection.engine.has_waiting(),
                _ => false,
            };
            let ending = if is_whole { Ending::Clean } else { Ending::Reset };
            self.end(id, ending, now, output);
        }
        self.trim();
    }

    /// Resets a connection that an earlier stack left behind.
    pub fn reset_left_behind(&mut self, source: SocketAddr, target: SocketAddr, output: &mut impl StackOutput) {
        if source.is_ipv4() == target.is_ipv4() {
            reply::probe(target, source, output);
        }
    }
}

fn refuse_syn(syn: &[u8], ends: Ends, how: FlowRefusal, output: &mut impl StackOutput) {
    match how {
        FlowRefusal::Refused => {
            let start = frame::ip_header_length(ends.source.ip());
            if let Ok(segment) = TcpPacket::new_checked(&syn[start..]) {
                reply::reset(&segment, ends.source, ends.target, output);
            }
        }
        _ => refuse(syn, ends, how, output),
    }
}
