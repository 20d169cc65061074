//! Carries connections out of a sandbox: to a port of the loopback interface inside, which nobody outside can reach.
//!
//! A process of its own in the sandbox, as weak as any other inside. It hears ports on a socket that nobody else inside has,
//! and hands each connection over by the same way. Ends when the server lets go.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::files::alone_with;
use crate::problem::{During, Problem, Step};
use crate::sys;
use crate::wire::{receive, send};

/// On the loopback interface a connection is there at once, or the one who listens is stuck.
const PATIENCE: Duration = Duration::from_secs(2);

/// A connection to make.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Crossing {
    /// Returns in the [`Landing`].
    pub(crate) number: u64,
    pub(crate) port: u16,
}

/// What became of it; comes with the connection.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Landing {
    pub(crate) number: u64,
    pub(crate) outcome: Result<(), Problem>,
}

/// The ferry's life. Does not return.
pub(super) fn run(order: OwnedFd) -> ! {
    let Ok([order]) = alone_with([order]) else { sys::exit_now(125) };
    while let Ok(Some((Crossing { number, port }, _))) = receive(order.as_fd()) {
        let (outcome, connection) = match connect(port) {
            Ok(connection) => (Ok(()), Some(connection)),
            Err(problem) => (Err(problem), None),
        };
        let fds: Vec<_> = connection.iter().map(AsFd::as_fd).collect();
        if send(order.as_fd(), &Landing { number, outcome }, &fds).is_err() {
            break;
        }
    }
    sys::exit_now(0)
}

fn connect(port: u16) -> Result<TcpStream, Problem> {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE).during(Step::Connect)
}
