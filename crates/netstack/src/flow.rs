//! What a stack knows of one flow.

use std::net::SocketAddr;
use std::time::Duration;

use crate::budget::{Budget, Purse, Reservation};
use crate::dns::DnsStream;
use crate::engine::Engine;
use crate::limits::StackLimits;
use crate::output::{FlowProtocol, FlowRefusal};

/// Datagrams of a flow that wait until it is connected.
const WAITING_DATAGRAMS: usize = 8;
const WAITING_BYTES: usize = 32 << 10;
/// How long a refusal answers further datagrams.
pub(crate) const REFUSAL_HOLDS: Duration = Duration::from_secs(1);

/// Between which two endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ends {
    pub(crate) protocol: FlowProtocol,
    /// In the sandbox.
    pub(crate) source: SocketAddr,
    /// The far end.
    pub(crate) target: SocketAddr,
}

pub(crate) struct Flow {
    pub(crate) ends: Ends,
    pub(crate) state: State,
    /// Bytes that the sandbox sent.
    pub(crate) up: u64,
    /// Bytes that the sandbox received.
    pub(crate) down: u64,
    /// When data moved last, or the flow came into its state.
    pub(crate) active: Duration,
    _place: Place,
}

/// The room that a flow takes among all.
pub(crate) struct Place {
    _flow: Reservation,
    _datagrams: Option<Reservation>,
}

pub(crate) enum State {
    /// The SYN waits for the far end's connection.
    Asked(Box<[u8]>),
    Open(Box<Connection>),
    /// Datagrams wait for the far end.
    UdpAsked(WaitingDatagrams),
    UdpOpen,
    /// There was no far end a moment ago.
    UdpRefused(FlowRefusal),
}

pub(crate) struct Connection {
    pub(crate) engine: Engine,
    pub(crate) hold: Hold,
    /// Of a connection to the name server.
    pub(crate) dns: Option<DnsStream>,
    pub(crate) established: bool,
    /// What its answers may need.
    pub(crate) _answers: Option<Reservation>,
}

/// Whether what the program sends is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    No,
    /// Until the name in its first bytes is known.
    Name,
    /// Until it is said whether that name is allowed.
    Answer,
}

pub(crate) struct WaitingDatagrams {
    pub(crate) datagrams: Vec<Box<[u8]>>,
    bytes: usize,
    _memory: Reservation,
}

// === impl Place ===

impl Place {
    /// Room for one more flow, where there is any.
    pub(crate) fn within(budget: &Budget, protocol: FlowProtocol) -> Option<Self> {
        let datagrams = match protocol {
            FlowProtocol::Tcp => None,
            FlowProtocol::Udp => Some(budget.udp_flows.take(1)?),
        };
        Some(Self { _flow: budget.flows.take(1)?, _datagrams: datagrams })
    }
}

// === impl Flow ===

impl Flow {
    pub(crate) fn new(ends: Ends, state: State, place: Place, now: Duration) -> Self {
        Self { ends, state, up: 0, down: 0, active: now, _place: place }
    }

    /// Whether it counts as a connection that is not yet established.
    pub(crate) fn is_half_open(&self) -> bool {
        match &self.state {
            State::Asked(_) => true,
            State::Open(connection) => !connection.established,
            _ => false,
        }
    }

    /// When it has been silent for too long.
    pub(crate) fn expires(&self, limits: &StackLimits) -> Duration {
        let after = match &self.state {
            State::Asked(_) | State::UdpAsked(_) => limits.half_open_timeout,
            State::Open(connection) if !connection.established => limits.half_open_timeout,
            State::Open(connection) if connection.engine.is_half_closed() => limits.half_closed_timeout,
            State::Open(_) => limits.idle_timeout,
            State::UdpOpen => limits.udp_timeout,
            State::UdpRefused(_) => REFUSAL_HOLDS,
        };
        self.active.saturating_add(after)
    }
}

// === impl WaitingDatagrams ===

impl WaitingDatagrams {
    /// Room for some datagrams, where there is memory for it.
    pub(crate) fn within(memory: &Purse) -> Option<Self> {
        Some(Self { datagrams: Vec::new(), bytes: 0, _memory: memory.take(WAITING_BYTES)? })
    }

    /// Returns whether there was room.
    pub(crate) fn push(&mut self, payload: &[u8]) -> bool {
        let fits = self.datagrams.len() < WAITING_DATAGRAMS && self.bytes + payload.len() <= WAITING_BYTES;
        if fits {
            self.bytes += payload.len();
            self.datagrams.push(payload.into());
        }
        fits
    }
}
