//! The server's end of the socket to a network process.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use faas_net::protocol::{self, NetMessage, ServerMessage};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::Shutdown;

/// How long a thread waits for room at a time.
const ROOM: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// A thread waits for its messages in the system call that reads them. The runtime's poller does not watch it: it would be
/// woken once for each message that the process reads.
pub(super) struct ControlSocket(OwnedFd);

// === impl ControlSocket ===

impl ControlSocket {
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        fcntl_setfl(&socket, fcntl_getfl(&socket)? - OFlags::NONBLOCK)?;
        Ok(Self(socket))
    }

    /// Waits for the next messages; `None` when the process has ended or was hung up on.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Vec<NetMessage>>> {
        loop {
            match protocol::receive_packet(self.0.as_fd(), buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Sends a message if the process takes it now.
    pub(super) fn try_send(&self, message: &ServerMessage, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        protocol::send(self.0.as_fd(), message, descriptors)
    }

    /// Sends a message as soon as the process takes it.
    pub(super) async fn send(&self, message: &ServerMessage, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        loop {
            match self.try_send(message, descriptors) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return sent,
            }
            let socket = self.0.try_clone()?;
            let room = tokio::task::spawn_blocking(move || room(&socket)).await;
            room.map_err(io::Error::other)??;
        }
    }

    /// Ends every wait for messages.
    pub(super) fn hang_up(&self) {
        // Fails where the process has ended.
        let _ = rustix::net::shutdown(&self.0, Shutdown::Both);
    }
}

/// Waits for room, or for a while.
fn room(socket: &OwnedFd) -> io::Result<()> {
    match poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&ROOM)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
