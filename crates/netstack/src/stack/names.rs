//! What needs the server's answer: names in first bytes, and DNS over TCP.

use std::time::Duration;

use super::Stack;
use crate::dns::{Asker, Heard};
use crate::flow::{Hold, State};
use crate::output::{FlowId, QueryId, StackEvent, StackOutput};
use crate::reply;
use crate::sni::{self, FirstBytes};

impl Stack {
    /// Asks about the name of a connection that is held back, as soon as its first bytes say it. One whose name is not clear
    /// ends: the far end might read one that may not be reached.
    pub(super) fn look_at_first_bytes(&mut self, id: FlowId, now: Duration, output: &mut impl StackOutput) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let State::Open(connection) = &mut flow.state else { return };
        if connection.hold != Hold::Name {
            return;
        }
        let receiving = connection.engine.receives();
        if receiving.waiting == 0 {
            return;
        }
        let no_more = receiving.full || connection.engine.is_half_closed();
        let name = match connection.engine.peek(sni::inspect) {
            Some(FirstBytes::ClientHello(name)) => name,
            Some(FirstBytes::Incomplete) if !no_more => return,
            Some(FirstBytes::Incomplete | FirstBytes::Unclear) => {
                self.counters.unclear_names += 1;
                return self.close(id, now, output);
            }
            Some(FirstBytes::Other) | None => None,
        };
        connection.hold = Hold::Answer;
        output.event(StackEvent::Name { flow: id, name });
    }

    /// Moves a connection to the name server on, and answers it; returns whether it is one.
    pub(super) fn pump_dns(&mut self, id: FlowId, now: Duration, output: &mut impl StackOutput) -> bool {
        let Some(flow) = self.flows.get_mut(&id) else { return false };
        let State::Open(connection) = &mut flow.state else { return false };
        let Some(dns) = &mut connection.dns else { return false };
        match dns.pump(&mut connection.engine) {
            Heard::Nothing => {}
            Heard::End => connection.engine.finish(),
            Heard::Nonsense => connection.engine.abort(),
            Heard::Query(message) => {
                flow.active = now;
                self.tcp_query(id, &message, now, output);
            }
        }
        // A window of a name server's connection is one flush, or its timer sends the rest.
        self.flush(id, now, output);
        true
    }

    fn tcp_query(&mut self, id: FlowId, message: &[u8], now: Duration, output: &mut impl StackOutput) {
        let query = QueryId(self.take_id());
        if self.query_rate.take(now) && self.queries.add(query, Asker::Tcp(id), self.limits.queries, now) {
            self.counters.queries += 1;
            output.event(StackEvent::Query { query, message, over_tcp: true });
        } else {
            self.counters.over_limit += 1;
            self.abort(id);
        }
    }

    /// The answer to a DNS query.
    pub fn answered(&mut self, query: QueryId, message: &[u8], now: Duration, output: &mut impl StackOutput) {
        match self.queries.take(query) {
            Some(Asker::Udp { source, target }) => reply::datagram(target, source, message, output),
            Some(Asker::Tcp(id)) => {
                let Some(flow) = self.flows.get_mut(&id) else { return };
                let State::Open(connection) = &mut flow.state else { return };
                let Some(dns) = &mut connection.dns else { return };
                if !dns.answer(message) {
                    connection.engine.abort();
                }
                self.pump_dns(id, now, output);
            }
            None => {}
        }
    }
}
