//! UDP: flows of datagrams.

use std::time::Duration;

use super::{Stack, is_gateway, refuse};
use crate::dns::{self, Asker};
use crate::flow::{Ends, Place, State, WaitingDatagrams};
use crate::output::{Ending, FlowId, FlowProtocol, FlowRefusal, QueryId, StackEvent, StackOutput};
use crate::reply;

impl Stack {
    pub(super) fn udp_input(
        &mut self,
        payload: &[u8],
        packet: &[u8],
        ends: Ends,
        now: Duration,
        output: &mut impl StackOutput,
    ) {
        if is_gateway(ends.target.ip()) {
            if ends.target.port() == dns::PORT {
                self.udp_query(payload, ends, now, output);
            } else {
                refuse(packet, ends, FlowRefusal::Refused, output);
            }
            return;
        }
        let Some(id) = self.ids.get(&ends).copied() else {
            self.open_udp(payload, ends, now, output);
            return;
        };
        let Some(flow) = self.flows.get_mut(&id) else { return };
        match &mut flow.state {
            State::UdpOpen => {
                flow.active = now;
                flow.up += payload.len() as u64;
                self.counters.up += payload.len() as u64;
                output.event(StackEvent::Datagram { flow: id, payload });
            }
            State::UdpAsked(waiting) => {
                if !waiting.push(payload) {
                    self.counters.over_limit += 1;
                }
            }
            State::UdpRefused(how) => refuse(packet, ends, *how, output),
            State::Asked(_) | State::Open(_) => {}
        }
    }

    fn open_udp(&mut self, payload: &[u8], ends: Ends, now: Duration, output: &mut impl StackOutput) {
        if self.limits.udp_flows == 0 || !self.flow_rate.take(now) {
            self.counters.over_limit += 1;
            return;
        }
        if self.udp_flows >= self.limits.udp_flows {
            self.evict_udp(output);
        }
        let mut place = Place::within(&self.budget, FlowProtocol::Udp);
        if place.is_none() && self.evict_udp(output) {
            place = Place::within(&self.budget, FlowProtocol::Udp);
        }
        let (Some(place), Some(mut waiting)) = (place, WaitingDatagrams::within(&self.budget.memory)) else {
            self.counters.over_limit += 1;
            return;
        };
        if !waiting.push(payload) {
            self.counters.over_limit += 1;
        }
        let flow = self.add(ends, State::UdpAsked(waiting), place, now);
        self.counters.flows += 1;
        output.event(StackEvent::Connect { flow, protocol: FlowProtocol::Udp, target: ends.target });
    }

    /// Ends the flow that has been silent for the longest time; returns whether there was one.
    fn evict_udp(&mut self, output: &mut impl StackOutput) -> bool {
        let udp = self.flows.iter().filter(|(_, flow)| flow.ends.protocol == FlowProtocol::Udp);
        let longest = udp.min_by_key(|(id, flow)| (flow.active, **id)).map(|(id, _)| *id);
        if let Some(id) = longest {
            self.remove(id, Ending::Clean, output);
        }
        longest.is_some()
    }

    fn udp_query(&mut self, payload: &[u8], ends: Ends, now: Duration, output: &mut impl StackOutput) {
        let asker = Asker::Udp { source: ends.source, target: ends.target };
        let query = QueryId(self.take_id());
        if !dns::is_query(payload) {
            self.counters.malformed += 1;
        } else if self.query_rate.take(now) && self.queries.add(query, asker, self.limits.queries, now) {
            self.counters.queries += 1;
            output.event(StackEvent::Query { query, message: payload, over_tcp: false });
        } else {
            self.counters.over_limit += 1;
        }
    }

    /// A datagram of the far end.
    pub fn datagram(&mut self, id: FlowId, payload: &[u8], now: Duration, output: &mut impl StackOutput) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        if matches!(flow.state, State::UdpOpen) {
            flow.active = now;
            flow.down += payload.len() as u64;
            self.counters.down += payload.len() as u64;
            reply::datagram(flow.ends.target, flow.ends.source, payload, output);
        }
    }

    /// A datagram did not reach the far end.
    pub fn unreachable(&mut self, id: FlowId, why: FlowRefusal, output: &mut impl StackOutput) {
        let Some(flow) = self.flows.get(&id) else { return };
        if matches!(flow.state, State::UdpOpen) {
            refuse(&reply::datagram_head(flow.ends.source, flow.ends.target), flow.ends, why, output);
        }
    }
}
