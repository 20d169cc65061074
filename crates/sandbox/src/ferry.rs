//! The server's end of the way to what listens inside a sandbox.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use faas_ports::{PortError, PortResult};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::child::{Crossing, Landing};
use crate::wire::{receive, send};

/// More than the ferry gives the one who listens.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connects to ports of a sandbox's loopback interface.
pub(crate) enum Ferry {
    /// By a process inside.
    Inside(Mutex<Berth>),
    /// A plain process has the host's loopback interface.
    Host,
}

/// Where the process inside is asked, one connection at a time.
pub(crate) struct Berth {
    order: AsyncFd<OwnedFd>,
    /// Of the last crossing. The answer to one that nobody waits for any more is thrown away.
    number: u64,
}

// === impl Ferry ===

impl Ferry {
    /// One by a process inside, which hears its orders at the other end.
    pub(crate) fn inside(order: AsyncFd<OwnedFd>) -> Self {
        Self::Inside(Mutex::new(Berth { order, number: 0 }))
    }

    /// A connection to a port inside.
    pub(crate) async fn connect(&self, port: u16) -> PortResult<OwnedFd> {
        let late = |_| PortError::failed("connecting into a sandbox", "it does not answer");
        let connecting = async {
            match self {
                Self::Inside(berth) => berth.lock().await.cross(port).await,
                Self::Host => on_host(port).await,
            }
        };
        tokio::time::timeout(PATIENCE, connecting).await.map_err(late)?
    }
}

impl Berth {
    async fn cross(&mut self, port: u16) -> PortResult<OwnedFd> {
        let failed = |error: std::io::Error| PortError::failed("connecting into a sandbox", error);
        self.number += 1;
        let crossing = Crossing { number: self.number, port };
        let asking = self.order.async_io(Interest::WRITABLE, |order| send(order.as_fd(), &crossing, &[]));
        asking.await.map_err(failed)?;
        loop {
            let answer = self.order.async_io(Interest::READABLE, |order| receive::<Landing>(order.as_fd())).await;
            let Some((landing, mut fds)) = answer.map_err(failed)? else {
                return Err(PortError::Closed("the way into the sandbox"));
            };
            if landing.number == self.number {
                landing.outcome?;
                return fds.pop().ok_or(PortError::Closed("the way into the sandbox"));
            }
        }
    }
}

async fn on_host(port: u16) -> PortResult<OwnedFd> {
    let failed = |error: std::io::Error| PortError::failed("connecting to a plain process", error);
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
    Ok(stream.into_std().map_err(failed)?.into())
}
