//! Sockets to far ends, which the server opened.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use faas_netstack::Ending;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::sockopt::{
    set_socket_keepalive, set_socket_linger, set_socket_recv_buffer_size, set_socket_send_buffer_size,
    set_tcp_keepidle, set_tcp_keepintvl, set_tcp_nodelay,
};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

/// How long a connection is silent before the far end is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// A connected socket and what is known of its readiness, since its events come once.
pub(crate) struct HostSocket {
    pub(crate) socket: OwnedFd,
    pub(crate) is_udp: bool,
    pub(crate) readable: bool,
    writable: bool,
    /// Whether its set tells when it is writable again.
    room_watched: bool,
    sending: Sending,
    /// The far end sends no more, and the stack knows.
    pub(crate) ended: bool,
    /// The program sends no more, and the far end knows.
    shut: bool,
    /// Waits for its turn.
    pub(crate) queued: bool,
    failed: bool,
}

/// What was sent so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Nothing,
    Once,
    More,
}

/// What came out of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Bytes(usize),
    Nothing,
    End,
    Failed(Errno),
}

impl HostSocket {
    pub(crate) fn new(socket: OwnedFd, is_udp: bool) -> Self {
        Self {
            socket,
            is_udp,
            readable: false,
            writable: true,
            room_watched: false,
            sending: Sending::Nothing,
            ended: false,
            shut: false,
            queued: false,
            failed: false,
        }
    }

    /// Has the kernel keep no more than this in each direction.
    pub(crate) fn bound_buffers(&self, bytes: usize) {
        // Best effort: the default size works too.
        let _ = set_socket_recv_buffer_size(&self.socket, bytes);
        let _ = set_socket_send_buffer_size(&self.socket, bytes);
    }

    /// Takes note of events; returns whether they change anything.
    pub(crate) fn notice(&mut self, events: EventFlags) -> bool {
        let before = (self.readable, self.writable);
        let over = EventFlags::HUP | EventFlags::ERR;
        self.readable |= events.intersects(EventFlags::IN | EventFlags::RDHUP | over);
        self.writable |= events.intersects(EventFlags::OUT | over);
        before != (self.readable, self.writable) || events.intersects(over)
    }

    /// Whether it is to be told of room from now on: most connections never fill their socket.
    pub(crate) fn begins_to_wait_for_room(&mut self) -> bool {
        !self.writable && !self.is_udp && !std::mem::replace(&mut self.room_watched, true)
    }

    /// Sends what the socket takes now; returns how much that is.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> usize {
        if !self.writable || self.failed {
            return 0;
        }
        self.sending = match self.sending {
            Sending::Nothing => Sending::Once,
            Sending::Once => {
                // The program has decided already what goes together. What is sent first goes out at once without this.
                let _ = set_tcp_nodelay(&self.socket, true);
                Sending::More
            }
            Sending::More => Sending::More,
        };
        loop {
            match send(&self.socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(count) => return count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.writable = false;
                    return 0;
                }
                Err(_) => {
                    self.failed = true;
                    return 0;
                }
            }
        }
    }

    /// Sends a datagram, or loses it. An error may be about an earlier one.
    pub(crate) fn send_datagram(&mut self, payload: &[u8]) -> Result<(), Errno> {
        match send(&self.socket, payload, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reads what is there.
    pub(crate) fn receive(&mut self, room: &mut [u8]) -> Received {
        if !self.readable || self.ended || self.failed {
            return Received::Nothing;
        }
        loop {
            match recv(&self.socket, &mut *room, RecvFlags::DONTWAIT) {
                Ok((_, 0)) if !self.is_udp => {
                    self.ended = true;
                    return Received::End;
                }
                Ok((_, count)) => return Received::Bytes(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.readable = false;
                    return Received::Nothing;
                }
                Err(error) => {
                    self.failed |= !self.is_udp;
                    return Received::Failed(error);
                }
            }
        }
    }

    /// The connection broke.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Tells the far end that the program sends no more; returns whether that was not done before.
    pub(crate) fn shut(&mut self) -> bool {
        let is_first = !self.shut && !self.is_udp;
        if is_first {
            self.shut = true;
            // Fails when the connection is over already, which reading finds out.
            let _ = shutdown(&self.socket, Shutdown::Write);
        }
        is_first
    }

    /// Lets go of it; a reset is passed on.
    pub(crate) fn close(self, ending: Ending) -> io::Result<()> {
        if ending == Ending::Reset && !self.is_udp {
            set_socket_linger(&self.socket, Some(Duration::ZERO))?;
        }
        Ok(())
    }
}

/// Has the kernel ask a silent far end whether it is there. Keepalive that a program sets ends in its sandbox; without this,
/// connection pools would lose idle connections.
pub fn keep_alive(socket: impl AsFd) {
    // A connection that is over by now takes none of it.
    let _ = set_socket_keepalive(&socket, true)
        .and_then(|()| set_tcp_keepidle(&socket, KEEPALIVE))
        .and_then(|()| set_tcp_keepintvl(&socket, KEEPALIVE / 4));
}
