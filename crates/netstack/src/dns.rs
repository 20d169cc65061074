//! DNS queries on their way out and answers on their way back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::engine::Engine;
use crate::output::{FlowId, QueryId};

/// Where the name server listens.
pub(crate) const PORT: u16 = 53;
/// No query is longer.
pub const QUERY_MAX: usize = 4 << 10;
/// What a connection to the name server holds: a query, and the longest answer.
pub(crate) const STREAM_MAX: usize = QUERY_MAX + (64 << 10);
/// The header of a message, below which there is nothing to answer.
const HEADER: usize = 12;
/// After so long a query makes room for others.
const GIVEN_UP: Duration = Duration::from_secs(30);

/// Who waits for answers.
#[derive(Debug, Default)]
pub(crate) struct Queries(BTreeMap<QueryId, (Asker, Duration)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    Udp { source: SocketAddr, target: SocketAddr },
    Tcp(FlowId),
}

/// A connection to the name server: one query at a time.
#[derive(Debug, Default)]
pub(crate) struct DnsStream {
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    sent: usize,
    pub(crate) waits: bool,
}

/// What a stream has to say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Nothing,
    Query(Vec<u8>),
    /// The program breaks the protocol.
    Nonsense,
    /// It has sent everything and got everything.
    End,
}

/// Whether a message may be a query.
pub(crate) fn is_query(message: &[u8]) -> bool {
    (HEADER..=QUERY_MAX).contains(&message.len())
}

// === impl Queries ===

impl Queries {
    /// Takes note of a query; returns whether there was room.
    pub(crate) fn add(&mut self, query: QueryId, asker: Asker, limit: usize, now: Duration) -> bool {
        if self.0.len() >= limit {
            self.0.retain(|_, (_, since)| now < since.saturating_add(GIVEN_UP));
        }
        let room = self.0.len() < limit;
        if room {
            self.0.insert(query, (asker, now));
        }
        room
    }

    pub(crate) fn take(&mut self, query: QueryId) -> Option<Asker> {
        self.0.remove(&query).map(|(asker, _)| asker)
    }
}

// === impl DnsStream ===

impl DnsStream {
    /// Sends what fits of an answer, then reads on.
    pub(crate) fn pump(&mut self, engine: &mut Engine) -> Heard {
        while self.sent < self.outgoing.len() {
            let rest = &self.outgoing[self.sent..];
            let written = engine.write(|room| {
                let count = room.len().min(rest.len());
                room[..count].copy_from_slice(&rest[..count]);
                count
            });
            if written == 0 {
                return Heard::Nothing;
            }
            self.sent += written;
        }
        self.outgoing = Vec::new();
        self.sent = 0;
        if self.waits {
            return Heard::Nothing;
        }
        self.hear(engine)
    }

    fn hear(&mut self, engine: &mut Engine) -> Heard {
        loop {
            let wanted = match self.incoming.first_chunk() {
                None => 2,
                Some(length) => {
                    let length = usize::from(u16::from_be_bytes(*length));
                    if !(HEADER..=QUERY_MAX).contains(&length) {
                        return Heard::Nonsense;
                    }
                    2 + length
                }
            };
            if self.incoming.len() == wanted && wanted > 2 {
                self.waits = true;
                return Heard::Query(std::mem::take(&mut self.incoming).split_off(2));
            }
            let missing = wanted - self.incoming.len();
            let incoming = &mut self.incoming;
            let read = engine.read(|bytes| {
                let count = missing.min(bytes.len());
                incoming.extend_from_slice(&bytes[..count]);
                count
            });
            if read == 0 {
                return if engine.is_drained() { Heard::End } else { Heard::Nothing };
            }
        }
    }

    /// The answer to the query under way. One that is too long is not sent, and the stream is of no further use.
    pub(crate) fn answer(&mut self, message: &[u8]) -> bool {
        let Ok(length) = u16::try_from(message.len()) else { return false };
        self.waits = false;
        self.outgoing = [&length.to_be_bytes(), message].concat();
        true
    }
}
