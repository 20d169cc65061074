//! Makes connections, to exactly the addresses that were checked: one way for functions, builds and callbacks.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use faas_net::keep_alive;
use faas_types::EgressProxy;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;

use crate::proxy::{Proxy, ProxyFailure};
use crate::seldom::Seldom;
use crate::source_addresses::{Begun, SourceAddresses, answered};

/// How long the far end may take: programs have shorter timeouts of theirs, or wait for it.
const CONNECT: Duration = Duration::from_secs(30);
/// When the next address of a name is tried beside those that have not answered.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;

/// How this machine connects to others.
#[derive(Debug, Default)]
pub struct Dialer {
    /// Where connections are made from.
    source: SourceAddresses,
    /// What connections are made through.
    proxy: Option<Proxy>,
    /// Says that the proxy cannot be used.
    complaint: Seldom,
}

// === impl Dialer ===

impl Dialer {
    /// Connects from these addresses, through this proxy.
    #[must_use]
    pub fn new(source: SourceAddresses, proxy: Option<EgressProxy>) -> Self {
        Self { source, proxy: proxy.map(Proxy::new), complaint: Seldom::default() }
    }

    /// Whether datagrams can be sent: no proxy carries them.
    pub(crate) fn has_datagrams(&self) -> bool {
        self.proxy.is_none()
    }

    /// A connection to exactly this address, by the proxy where there is one.
    pub(crate) async fn tcp(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let connecting = async {
            match &self.proxy {
                Some(proxy) => self.by_proxy(proxy, to).await,
                None => self.source.tcp(to).await,
            }
        };
        let stream = in_time(connecting).await?;
        keep_alive(&stream);
        Ok(stream)
    }

    /// Asks for a connection to exactly this address without waiting; `None` where a proxy is in between. Its socket has no
    /// options.
    pub(crate) fn begin(&self, to: SocketAddr) -> Option<io::Result<Begun>> {
        self.proxy.is_none().then(|| self.source.begin(to))
    }

    /// Waits until the far end has answered.
    pub(crate) async fn finish(&self, begun: OwnedFd) -> io::Result<OwnedFd> {
        in_time(answered(begun)).await?.into_std().map(OwnedFd::from)
    }

    async fn by_proxy(&self, proxy: &Proxy, to: SocketAddr) -> io::Result<TcpStream> {
        proxy.connect(self.source, to).await.map_err(|failure| match failure {
            ProxyFailure::FarEnd(error) => error,
            ProxyFailure::Proxy(why) => {
                if self.complaint.is_due() {
                    tracing::warn!(proxy = %proxy.settings(), why, "the proxy of egress.proxy cannot be used");
                }
                // Not a refusal by the far end, which was not asked.
                io::Error::new(io::ErrorKind::NetworkUnreachable, format!("the server's proxy cannot be used: {why}"))
            }
        })
    }

    /// A connection to the first of these addresses that answers. One that is silent does not hold up the next (RFC 8305).
    pub(crate) async fn tcp_to_any(&self, addresses: &[SocketAddr]) -> io::Result<TcpStream> {
        let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
        let mut left = addresses.iter().take(ADDRESSES_MAX);
        let mut under_way = FuturesUnordered::new();
        loop {
            let next = left.next();
            under_way.extend(next.map(|address| self.tcp(*address)));
            if under_way.is_empty() {
                return Err(failed);
            }
            tokio::select! {
                Some(made) = under_way.next() => match made {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failed = error,
                },
                () = tokio::time::sleep(NEXT_ADDRESS), if next.is_some() => {}
            }
        }
    }

    /// A socket for datagrams to this address, which does not block. They go by no proxy.
    pub(crate) fn udp(&self, to: SocketAddr) -> io::Result<OwnedFd> {
        let socket = UdpSocket::bind(self.source.of(to.ip())?)?;
        socket.set_nonblocking(true)?;
        socket.connect(to)?;
        Ok(socket.into())
    }
}

async fn in_time<T>(connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(CONNECT, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream as Client};

    use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};

    use super::*;

    #[tokio::test]
    async fn a_silent_address_does_not_hold_up_the_next() -> io::Result<()> {
        // The queue of this listener is full: it takes no connection and refuses none.
        let silent = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind(&silent, &SocketAddr::from(([127, 0, 0, 1], 0)))?;
        listen(&silent, 0)?;
        let full = SocketAddr::try_from(getsockname(&silent)?)?;
        let waiting: Vec<Client> =
            (0..8).map_while(|_| Client::connect_timeout(&full, Duration::from_millis(500)).ok()).collect();
        let refuses = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let answers = TcpListener::bind("127.0.0.1:0")?;
        let addresses = [full, refuses, answers.local_addr()?];
        let dialer = Dialer::default();
        let made = tokio::time::timeout(CONNECT / 3, dialer.tcp_to_any(&addresses)).await?;
        assert_eq!(made?.peer_addr()?, answers.local_addr()?);
        assert!(dialer.tcp_to_any(&[refuses, refuses]).await.is_err() && dialer.tcp_to_any(&[]).await.is_err());
        drop(waiting);
        Ok(())
    }
}
