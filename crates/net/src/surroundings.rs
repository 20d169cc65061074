//! What a stack has around it: its device, the sockets of its flows and the server.

use std::collections::HashMap;
use std::os::fd::{BorrowedFd, OwnedFd};

use faas_netstack::{Ending, FlowId, FlowProtocol, FlowRefusal, StackEvent, StackOutput};
use rustix::io::Errno;

use crate::host::HostSocket;
use crate::outbox::Outbox;
use crate::protocol::{self, NetMessage};

/// What all sandboxes use in turn.
pub(crate) struct Shared {
    pub(crate) epoll: OwnedFd,
    pub(crate) outbox: Outbox,
    /// What comes from a device or as a datagram.
    pub(crate) incoming: Box<[u8]>,
    /// What goes to a device.
    pub(crate) outgoing: Box<[u8]>,
    /// Flows whose far end could not be reached by a datagram.
    pub(crate) unreached: Vec<(FlowId, FlowRefusal)>,
    /// Upper bound of the questions that the server has not answered: some need no answer any more.
    pub(crate) answers_due: usize,
}

/// The surroundings of a stack.
pub(crate) struct Surroundings<'a> {
    pub(crate) number: u64,
    pub(crate) device: BorrowedFd<'a>,
    pub(crate) sockets: &'a mut HashMap<FlowId, HostSocket>,
    pub(crate) shared: &'a mut Shared,
}

/// What a datagram met.
pub(crate) fn refusal(error: Errno) -> FlowRefusal {
    match error {
        Errno::CONNREFUSED => FlowRefusal::Refused,
        Errno::ACCESS | Errno::PERM => FlowRefusal::Denied,
        Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::NETDOWN => FlowRefusal::Unreachable,
        _ => FlowRefusal::TimedOut,
    }
}

// === impl Surroundings ===

impl Surroundings<'_> {
    /// Lets go of a flow's socket.
    pub(crate) fn release(&mut self, flow: FlowId, ending: Ending) {
        if let Some(socket) = self.sockets.remove(&flow) {
            // Closing takes it out of the set, as soon as the server has closed its own, which it does at once. Events of
            // numbers that are over are ignored.
            // Fails where there is no connection to reset any more.
            let _ = socket.close(ending);
        }
    }
}

impl StackOutput for Surroundings<'_> {
    fn transmit<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let frame = &mut self.shared.outgoing[..length];
        let result = fill(frame);
        // A frame that the device does not take is lost, and sent again where that matters.
        let _ = rustix::io::write(self.device, frame);
        result
    }

    fn event(&mut self, event: StackEvent<'_>) {
        let sandbox = self.number;
        let message = match event {
            StackEvent::Connect { flow, protocol, target } => {
                let protocol = match protocol {
                    FlowProtocol::Tcp => protocol::Protocol::Tcp,
                    FlowProtocol::Udp => protocol::Protocol::Udp,
                };
                NetMessage::Connect { sandbox, flow: flow.0, protocol, address: target.ip(), port: target.port() }
            }
            StackEvent::Query { query, message, over_tcp } => {
                NetMessage::Resolve { sandbox, query: query.0, bytes: message.to_vec(), over_tcp }
            }
            StackEvent::Name { flow, name } => NetMessage::Name { flow: flow.0, sni: name },
            StackEvent::Datagram { flow, payload } => {
                if let Some(socket) = self.sockets.get_mut(&flow)
                    && let Err(error) = socket.send_datagram(payload)
                {
                    self.shared.unreached.push((flow, refusal(error)));
                }
                return;
            }
            StackEvent::Closed { flow, ending, up, down } => {
                self.release(flow, ending);
                return self.shared.outbox.push_patiently(NetMessage::Closed { flow: flow.0, up, down });
            }
        };
        self.shared.answers_due += 1;
        self.shared.outbox.ask(message);
    }
}
