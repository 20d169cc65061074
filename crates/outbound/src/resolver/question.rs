//! What a program in a sandbox asks: bytes of untrusted code.

use hickory_resolver::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::{DNSClass, Name, Record};

/// The largest answer over UDP: there is no path between a sandbox and its server where it would be cut.
const UDP_MAX: u16 = 4_096;
/// The shortest query: a header.
const HEADER: usize = 12;

/// One question that can be answered.
#[derive(Debug)]
pub(crate) struct Question {
    id: u16,
    recursion: bool,
    /// Bytes that an answer may have.
    room: usize,
    has_edns: bool,
    query: Query,
    /// The name in lower case without a dot at its end, where it is one of a host.
    pub(crate) host: Option<String>,
}

// === impl Question ===

impl Question {
    /// Reads a query.
    ///
    /// # Errors
    /// The answer to a malformed question.
    pub(crate) fn read(bytes: &[u8], over_tcp: bool) -> Result<Self, Vec<u8>> {
        let id = bytes.first_chunk::<2>().map_or(0, |id| u16::from_be_bytes(*id));
        let refuse = |code| Err(encode(&Message::error_msg(id, OpCode::Query, code)));
        if bytes.len() < HEADER {
            return refuse(ResponseCode::FormErr);
        }
        let Ok(message) = Message::from_vec(bytes) else { return refuse(ResponseCode::FormErr) };
        if message.metadata.message_type != MessageType::Query {
            return refuse(ResponseCode::FormErr);
        }
        if message.metadata.op_code != OpCode::Query {
            return refuse(ResponseCode::NotImp);
        }
        let [query] = &message.queries[..] else { return refuse(ResponseCode::FormErr) };
        if query.query_class() != DNSClass::IN {
            return refuse(ResponseCode::Refused);
        }
        let room = if over_tcp {
            usize::from(u16::MAX)
        } else {
            usize::from(message.edns.as_ref().map_or(512, |edns| edns.max_payload().clamp(512, UDP_MAX)))
        };
        Ok(Self {
            id,
            recursion: message.metadata.recursion_desired,
            room,
            has_edns: message.edns.is_some(),
            host: host_name(query.name()),
            query: query.clone(),
        })
    }

    pub(crate) fn query(&self) -> &Query {
        &self.query
    }

    /// The answer with these records; cut where it is longer than the program takes.
    pub(crate) fn answer(&self, code: ResponseCode, records: Vec<Record>) -> Vec<u8> {
        let mut message = Message::response(self.id, OpCode::Query);
        message.metadata.recursion_desired = self.recursion;
        message.metadata.recursion_available = true;
        message.metadata.response_code = code;
        message.add_query(self.query.clone());
        if self.has_edns {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_MAX);
            message.set_edns(edns);
        }
        message.add_answers(records);
        let bytes = encode(&message);
        if bytes.len() <= self.room { bytes } else { encode(&message.truncate()) }
    }
}

/// The name as hosts have them. Names with other bytes lead nowhere: no rule can be about them.
pub(crate) fn host_name(name: &Name) -> Option<String> {
    let text = name.to_ascii().to_ascii_lowercase();
    let text = text.strip_suffix('.').unwrap_or(&text);
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    ((1..=253).contains(&text.len()) && text.bytes().all(is_host)).then(|| text.to_owned())
}

/// The answer to a query for which there is no time: the query itself, marked as one that failed.
pub(crate) fn busy(query: &[u8]) -> Vec<u8> {
    let mut answer = query.to_vec();
    if let Some(flags) = answer.get_mut(2..4) {
        flags[0] = 0x80 | flags[0] & 0x79;
        flags[1] = 0x82;
    }
    answer
}

/// A message of a few records can always be written; if not, nothing is said.
fn encode(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap_or_default()
}
