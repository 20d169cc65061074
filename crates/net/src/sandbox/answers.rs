//! What the server says about flows and queries.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use faas_netstack::{Ending, FlowId, FlowProtocol, FlowRefusal, QueryId};
use rustix::event::epoll::{self, EventFlags};

use super::Sandbox;
use crate::host::HostSocket;
use crate::protocol;
use crate::surroundings::Shared;
use crate::token::Token;

impl Sandbox {
    /// The server has connected a flow.
    pub(crate) fn connected(
        &mut self,
        flow: FlowId,
        socket: OwnedFd,
        check_name: bool,
        now: Duration,
        shared: &mut Shared,
    ) {
        if self.sockets.contains_key(&flow) {
            return;
        }
        let is_udp = self.stack.protocol(flow) == Some(FlowProtocol::Udp);
        let socket = HostSocket::new(socket, is_udp);
        if let Some(bytes) = buffers(self.sockets.len(), self.budget.all().flows) {
            socket.bound_buffers(bytes);
        }
        self.sockets.insert(flow, socket);
        self.fresh.push(flow);
        let (stack, mut surroundings) = self.split(shared);
        // The program is answered first.
        if !stack.connected(flow, check_name, now, &mut surroundings) {
            // The flow has ended meanwhile.
            surroundings.release(flow, Ending::Reset);
        }
        self.tell_unreached(shared);
        let interest = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        if let Some(socket) = self.sockets.get(&flow)
            && epoll::add(&shared.epoll, &socket.socket, Token::Flow(flow).data(), interest).is_err()
        {
            // The kernel has no room to watch it.
            self.close(flow, now, shared);
        }
    }

    pub(crate) fn refused(&mut self, flow: FlowId, how: protocol::Refusal, now: Duration, shared: &mut Shared) {
        let how = match how {
            protocol::Refusal::Denied => FlowRefusal::Denied,
            protocol::Refusal::Refused => FlowRefusal::Refused,
            protocol::Refusal::Unreachable => FlowRefusal::Unreachable,
            protocol::Refusal::TimedOut => FlowRefusal::TimedOut,
        };
        let (stack, mut surroundings) = self.split(shared);
        stack.refused(flow, how, now, &mut surroundings);
    }

    pub(crate) fn answered(&mut self, query: QueryId, message: &[u8], now: Duration, shared: &mut Shared) {
        let (stack, mut surroundings) = self.split(shared);
        stack.answered(query, message, now, &mut surroundings);
    }

    pub(crate) fn named(&mut self, flow: FlowId, allowed: bool, now: Duration, shared: &mut Shared) {
        let (stack, mut surroundings) = self.split(shared);
        stack.named(flow, allowed, now, &mut surroundings);
        self.serve(flow, now, shared);
    }

    pub(crate) fn close(&mut self, flow: FlowId, now: Duration, shared: &mut Shared) {
        let (stack, mut surroundings) = self.split(shared);
        stack.close(flow, now, &mut surroundings);
    }

    pub(crate) fn reset(&mut self, connections: &[protocol::SandboxConnection], shared: &mut Shared) {
        let (stack, mut surroundings) = self.split(shared);
        for left in connections {
            let source = SocketAddr::new(left.source, left.source_port);
            stack.reset_left_behind(source, SocketAddr::new(left.address, left.port), &mut surroundings);
        }
    }
}

/// Bytes that the kernel may keep of a connection in each direction, by how many the sandbox has and how many there are; as
/// many as it likes where there are few: it gives each of them megabytes when it must.
fn buffers(own: usize, all: usize) -> Option<usize> {
    match (own, all) {
        (..32, ..128) => None,
        (..32, ..1_024) => Some(256 << 10),
        (..256, ..4_096) => Some(64 << 10),
        _ => Some(16 << 10),
    }
}

#[cfg(test)]
mod tests {
    use super::buffers;

    #[test]
    fn the_kernel_keeps_less_of_each_the_more_there_are() {
        assert_eq!((buffers(0, 0), buffers(31, 127)), (None, None));
        assert_eq!((buffers(31, 128), buffers(0, 1_023)), (Some(256 << 10), Some(256 << 10)));
        assert_eq!((buffers(32, 40), buffers(1, 1_024)), (Some(64 << 10), Some(64 << 10)));
        assert_eq!((buffers(256, 300), buffers(1, 4_096)), (Some(16 << 10), Some(16 << 10)));
        // What all may have the kernel keep stays below what they may hold here.
        let most: usize = (0..64 << 10).map(|n| buffers(n % 2_048, n).unwrap_or(0)).sum();
        assert!(most < 2 << 30, "{most}");
    }
}
