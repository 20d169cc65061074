//! Makes connections, to exactly the addresses that were checked: one way for functions, builds and callbacks.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use faas_types::EgressProxy;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use nix::sys::socket::{setsockopt, sockopt};
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepidle, set_tcp_keepintvl};
use tokio::net::{TcpSocket, TcpStream};

use crate::proxy::{self, ProxyFailure};
use crate::seldom::Seldom;

/// How long the far end may take: programs have shorter timeouts of theirs, or wait for it.
const CONNECT: Duration = Duration::from_secs(30);
/// When the next address of a name is tried beside those that have not answered.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;

/// How long a connection is silent before the far end is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How this machine connects to others.
#[derive(Debug, Default)]
pub struct Dialer {
    /// Where connections are made from.
    source: SourceAddresses,
    /// What connections are made through.
    proxy: Option<EgressProxy>,
    /// Says that the proxy cannot be used.
    complaint: Seldom,
}

/// The addresses of this machine that connections are made from. Without one, the system chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceAddresses {
    /// For connections over IPv4.
    pub v4: Option<Ipv4Addr>,
    /// For connections over IPv6.
    pub v6: Option<Ipv6Addr>,
}

// === impl Dialer ===

impl Dialer {
    /// Connects from these addresses, through this proxy.
    #[must_use]
    pub fn new(source: SourceAddresses, proxy: Option<EgressProxy>) -> Self {
        Self { source, proxy, complaint: Seldom::default() }
    }

    /// Whether datagrams can be sent: no proxy carries them.
    pub(crate) fn has_datagrams(&self) -> bool {
        self.proxy.is_none()
    }

    /// A connection to exactly this address, by the proxy where there is one.
    pub(crate) async fn tcp(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let connecting = async {
            let stream = match &self.proxy {
                Some(proxy) => self.by_proxy(proxy, to).await?,
                None => self.source.tcp(to).await?,
            };
            // Keepalive that the program sets ends in the sandbox. Without this, connection pools would lose idle connections.
            set_socket_keepalive(&stream, true)?;
            set_tcp_keepidle(&stream, KEEPALIVE)?;
            set_tcp_keepintvl(&stream, KEEPALIVE / 4)?;
            Ok(stream)
        };
        tokio::time::timeout(CONNECT, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn by_proxy(&self, proxy: &EgressProxy, to: SocketAddr) -> io::Result<TcpStream> {
        proxy::connect(proxy, self.source, to).await.map_err(|failure| match failure {
            ProxyFailure::FarEnd(error) => error,
            ProxyFailure::Proxy(why) => {
                if self.complaint.is_due() {
                    tracing::warn!(%proxy, why, "the proxy of egress.proxy cannot be used");
                }
                // Not the far end's refusal: nobody asked it.
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

// === impl SourceAddresses ===

impl SourceAddresses {
    /// A connection from one of them.
    pub(crate) async fn tcp(self, to: SocketAddr) -> io::Result<TcpStream> {
        let from = self.of(to.ip())?;
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if !from.ip().is_unspecified() {
            // The port is chosen with the far end: else each connection takes one for itself, and 28,000 are all there are.
            setsockopt(&socket.as_fd(), sockopt::IpBindAddressNoPort, &true)?;
            socket.bind(from)?;
        }
        let stream = socket.connect(to).await?;
        // The program in the sandbox has decided already what goes together.
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Where a connection to an address is made from.
    ///
    /// # Errors
    /// Where there is an address for the other family alone.
    fn of(self, to: IpAddr) -> io::Result<SocketAddr> {
        let any = self == Self::default();
        let (own, unspecified) = match to {
            IpAddr::V4(_) => (self.v4.map(IpAddr::V4), IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            IpAddr::V6(_) => (self.v6.map(IpAddr::V6), IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        };
        let from = own.or(any.then_some(unspecified)).map(|address| SocketAddr::new(address, 0));
        from.ok_or_else(|| io::ErrorKind::NetworkUnreachable.into())
    }

    /// Whether connections over IPv6 are made.
    pub(crate) fn has_v6(self) -> bool {
        self.v6.is_some() || self.v4.is_none()
    }
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
