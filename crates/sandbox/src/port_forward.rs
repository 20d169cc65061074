//! The server's side of port forwarding into a sandbox.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use faas_ports::{PortError, PortResult};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::child::{ConnectReply, ConnectRequest};
use crate::packet::{receive, send};

/// Longer than the process inside waits for a listener.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connects to ports of a sandbox's loopback interface.
pub(crate) enum PortForward {
    /// Through a process inside.
    Inside(Mutex<Forwarder>),
    /// A plain process has the host's loopback interface.
    Host,
}

/// The socket to the process inside; one connection at a time.
pub(crate) struct Forwarder {
    order: AsyncFd<OwnedFd>,
    /// Number of the last request. Replies to earlier, abandoned ones are discarded.
    number: u64,
}

// === impl PortForward ===

impl PortForward {
    /// Through the process inside that holds the other end of `order`.
    pub(crate) fn inside(order: AsyncFd<OwnedFd>) -> Self {
        Self::Inside(Mutex::new(Forwarder { order, number: 0 }))
    }

    /// A connection to a port inside.
    pub(crate) async fn connect(&self, port: u16) -> PortResult<OwnedFd> {
        let late = |_| PortError::failed("connecting into a sandbox", "it does not answer");
        let connecting = async {
            match self {
                Self::Inside(forwarder) => forwarder.lock().await.connect(port).await,
                Self::Host => on_host(port).await,
            }
        };
        tokio::time::timeout(PATIENCE, connecting).await.map_err(late)?
    }
}

impl Forwarder {
    async fn connect(&mut self, port: u16) -> PortResult<OwnedFd> {
        let failed = |error: std::io::Error| PortError::failed("connecting into a sandbox", error);
        self.number += 1;
        let request = ConnectRequest { number: self.number, port };
        let asking = self.order.async_io(Interest::WRITABLE, |order| send(order.as_fd(), &request, &[]));
        asking.await.map_err(failed)?;
        loop {
            let answer = self.order.async_io(Interest::READABLE, |order| receive::<ConnectReply>(order.as_fd())).await;
            let Some((reply, mut fds)) = answer.map_err(failed)? else {
                return Err(PortError::Closed("the connection into the sandbox"));
            };
            if reply.number == self.number {
                reply.outcome?;
                return fds.pop().ok_or(PortError::Closed("the connection into the sandbox"));
            }
        }
    }
}

async fn on_host(port: u16) -> PortResult<OwnedFd> {
    let failed = |error: std::io::Error| PortError::failed("connecting to a plain process", error);
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
    Ok(stream.into_std().map_err(failed)?.into())
}
