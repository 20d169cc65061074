//! Messages between the server and the network process.
//!
//! They travel over a `SOCK_SEQPACKET` socket. A packet to the network process holds one JSON document and its descriptors,
//! one to the server some documents. The network process parses packets of untrusted programs and may have been taken over
//! by one: [`receive_packet`] checks every message before the server sees it.
//!
//! A flow is a TCP connection or the UDP datagrams of one pair of endpoints. The network process numbers flows and
//! queries and never uses a number twice. It sends exactly one [`NetMessage::Closed`] for each
//! [`NetMessage::Connect`], except where the answer was [`ServerMessage::Refused`]. It may send it before the answer
//! came; the answer is then ignored and its descriptor closed.

mod bytes;
mod channel;

use std::net::IpAddr;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

pub use channel::{Message, PACKET_MESSAGES_MAX, channel, receive, receive_packet, send, send_packet};

/// No packet is longer. A buffer for [`receive`] and [`receive_packet`] needs this size.
pub const MESSAGE_MAX: usize = 96 << 10;
/// No DNS query is longer.
pub const QUERY_MAX: usize = 4 << 10;
/// No DNS answer is longer: the limit of DNS over TCP.
pub const ANSWER_MAX: usize = 65_535;
/// No name in a TLS ClientHello is longer.
pub const NAME_MAX: usize = 253;
/// Connections that one [`ServerMessage::Reset`] names.
pub const RESET_MAX: usize = 512;

/// From the server to the network process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each field is the noun of its name")]
pub enum ServerMessage {
    /// A sandbox to serve, of a project by the server's number; with its TUN device (not blocking,
    /// `IFF_TUN | IFF_NO_PI | IFF_VNET_HDR`) and the pidfd of its first process.
    Attach { sandbox: u64, project: u64, limits: Limits },
    /// Lets the sandbox go: what its programs have sent is carried for a moment, then its flows and its device are closed.
    Detach { sandbox: u64 },
    /// Resets connections that an earlier network process left behind in the sandbox.
    Reset { sandbox: u64, connections: Vec<SandboxConnection> },
    /// With the connected socket, which does not block. With `check_name`, what the sandbox sends is held back until
    /// [`NetMessage::Name`] is answered.
    Connected { flow: u64, check_name: bool },
    /// There is no connection.
    Refused { flow: u64, how: Refusal },
    /// The complete DNS answer, with the id of the query and truncated where it came over UDP.
    Answered {
        query: u64,
        #[serde(with = "bytes")]
        bytes: Vec<u8>,
    },
    /// Whether the flow may go on under the name that its client gave.
    Named { flow: u64, allowed: bool },
    /// Resets the flow.
    Close { flow: u64 },
    /// Asks whether the process is there. Answered with [`NetMessage::Pong`].
    Ping,
}

/// From the network process to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each field is the noun of its name")]
pub enum NetMessage {
    /// The first message: the process is confined and serves.
    Ready,
    /// A program in the sandbox wants to reach an address. Answered with [`ServerMessage::Connected`] or
    /// [`ServerMessage::Refused`].
    Connect { sandbox: u64, flow: u64, protocol: Protocol, address: IpAddr, port: u16 },
    /// A DNS query as the program sent it. An answer over UDP has to fit into what the query allows.
    Resolve {
        sandbox: u64,
        query: u64,
        #[serde(with = "bytes")]
        bytes: Vec<u8>,
        over_tcp: bool,
    },
    /// The name in the TLS ClientHello, in lower case. `None` where the client sent none, or speaks another protocol.
    Name { flow: u64, sni: Option<String> },
    /// The flow is over: bytes that the sandbox sent and received.
    Closed { flow: u64, up: u64, down: u64 },
    /// Totals of a sandbox, sent about once a second while they change, and before [`NetMessage::Gone`].
    Usage { sandbox: u64, usage: Usage },
    /// The sandbox is not served any more. Nothing follows about it: each of its flows was closed before. It comes up to two
    /// seconds after the first process ended or the sandbox was detached, for what programs had sent by then.
    Gone { sandbox: u64, why: Gone },
    /// The process is there.
    Pong,
}

/// Why a sandbox is not served any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gone {
    /// Its first process has ended, or it was detached.
    Ended,
    /// Its device gives nothing any more, although neither has happened.
    DeviceLost,
    /// It could not be attached: descriptors did not arrive, or there is no room for another one.
    NotAttached,
}

/// What a flow carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// A connection.
    Tcp,
    /// Datagrams.
    Udp,
}

/// Why there is no connection, and so what the program in the sandbox sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// A rule forbids it: `EHOSTUNREACH`.
    Denied,
    /// The far end refused it: `ECONNREFUSED`.
    Refused,
    /// No way leads there: `EHOSTUNREACH`.
    Unreachable,
    /// The far end did not answer: the program waits for its own timeout.
    TimedOut,
}

/// What a sandbox may hold at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// TCP connections, half-open ones included.
    pub connections: u32,
    /// TCP connections that are not yet established.
    pub half_open: u32,
    /// Pairs of endpoints that exchange UDP datagrams.
    pub udp_flows: u32,
    /// DNS queries that wait for their answers.
    pub queries: u32,
    /// New connections and UDP flows a second, and as many more at once as there may be connections.
    pub flows_a_second: u32,
    /// DNS queries a second, and as many more at once.
    pub queries_a_second: u32,
    /// Bytes a second in both directions together.
    pub bytes_a_second: Option<NonZeroU64>,
    /// The same for all sandboxes of its project together; that of the first of them counts.
    pub project_bytes_a_second: Option<NonZeroU64>,
}

/// One TCP connection of a sandbox, as `/proc/PID/net/tcp` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxConnection {
    /// The sandbox's end.
    pub source: IpAddr,
    /// Its port.
    pub source_port: u16,
    /// The far end.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
}

/// Totals of a sandbox since it was attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes that its programs sent to far ends.
    pub up: u64,
    /// Bytes that its programs received from far ends.
    pub down: u64,
    /// Connections and UDP flows that were asked for.
    pub flows: u64,
    /// DNS queries.
    pub queries: u64,
    /// Packets that were dropped: malformed, fragments, over a limit.
    pub dropped: u64,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            half_open: 128,
            udp_flows: 256,
            queries: 64,
            flows_a_second: 256,
            queries_a_second: 128,
            bytes_a_second: None,
            project_bytes_a_second: None,
        }
    }
}

// === impl Message ===

impl Message for ServerMessage {
    fn descriptors(&self) -> usize {
        match self {
            Self::Attach { .. } => 2,
            Self::Connected { .. } => 1,
            _ => 0,
        }
    }

    fn within_limits(&self) -> bool {
        match self {
            Self::Answered { bytes, .. } => bytes.len() <= ANSWER_MAX,
            Self::Reset { connections, .. } => connections.len() <= RESET_MAX,
            _ => true,
        }
    }
}

impl Message for NetMessage {
    fn descriptors(&self) -> usize {
        0
    }

    fn within_limits(&self) -> bool {
        match self {
            Self::Resolve { bytes, .. } => bytes.len() <= QUERY_MAX,
            Self::Name { sni: Some(name), .. } => {
                (1..=NAME_MAX).contains(&name.len())
                    && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests;
