//! What a stack has for its surroundings.

use std::net::SocketAddr;

/// A TCP connection or a UDP flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u64);

/// A DNS query that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub u64);

/// What a flow carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowProtocol {
    /// A TCP connection.
    Tcp,
    /// Datagrams between two endpoints.
    Udp,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowRefusal {
    /// A rule forbids it.
    Denied,
    /// The far end refused it.
    Refused,
    /// No way leads there.
    Unreachable,
    /// The far end did not answer.
    TimedOut,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StackEvent<'a> {
    /// A program wants to reach an address. Answered with `connected` or `refused`.
    Connect {
        /// The new flow.
        flow: FlowId,
        /// What it carries.
        protocol: FlowProtocol,
        /// The far end.
        target: SocketAddr,
    },
    /// Answered with `answered`.
    Query {
        /// The new query.
        query: QueryId,
        /// As the program sent it.
        message: &'a [u8],
        /// Over TCP there is no limit for the answer's length.
        over_tcp: bool,
    },
    /// The name in the client's first bytes, which wait for `named`.
    Name {
        /// A flow that was connected with `check_name`.
        flow: FlowId,
        /// `None` where there is none.
        name: Option<String>,
    },
    /// For the far end of a UDP flow.
    Datagram {
        /// A connected flow.
        flow: FlowId,
        /// The datagram.
        payload: &'a [u8],
    },
    /// The flow exists no more.
    Closed {
        /// The flow.
        flow: FlowId,
        /// How the far end is to see it.
        ending: Ending,
        /// Bytes that the sandbox sent.
        up: u64,
        /// Bytes that the sandbox received.
        down: u64,
    },
}

/// How a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Both sides finished, or a UDP flow was idle.
    Clean,
    /// The connection was reset, or given up.
    Reset,
}

/// Where frames and events go.
pub trait StackOutput {
    /// Sends a frame of so many bytes, which `fill` writes whole. A frame may get lost.
    fn transmit<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R;

    /// Takes note of an event.
    fn event(&mut self, event: StackEvent<'_>);
}
