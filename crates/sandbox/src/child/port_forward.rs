//! Forwards connections to ports of a sandbox's loopback interface.
//!
//! A separate process in the sandbox, without privileges. It receives port numbers on a socket that no other process
//! inside holds, connects, and sends each connection back as a descriptor. It ends when the server closes the socket.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::files::alone_with;
use crate::packet::{receive, send};
use crate::problem::{During, Problem, Step};
use crate::sys;

/// A loopback connection is made at once, or the listener is stuck.
const PATIENCE: Duration = Duration::from_secs(2);

/// A connection to make.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ConnectRequest {
    /// Repeated in the [`ConnectReply`].
    pub(crate) number: u64,
    pub(crate) port: u16,
}

/// The outcome, sent with the connection.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ConnectReply {
    pub(crate) number: u64,
    pub(crate) outcome: Result<(), Problem>,
}

/// Serves until the server closes the socket. Does not return.
pub(super) fn run(order: OwnedFd) -> ! {
    let Ok([order]) = alone_with([order]) else { sys::exit_now(125) };
    while let Ok(Some((ConnectRequest { number, port }, _))) = receive(order.as_fd()) {
        let (outcome, connection) = match connect(port) {
            Ok(connection) => (Ok(()), Some(connection)),
            Err(problem) => (Err(problem), None),
        };
        let fds: Vec<_> = connection.iter().map(AsFd::as_fd).collect();
        if send(order.as_fd(), &ConnectReply { number, outcome }, &fds).is_err() {
            break;
        }
    }
    sys::exit_now(0)
}

fn connect(port: u16) -> Result<TcpStream, Problem> {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE).during(Step::Connect)
}
