//! Makes one connection, to exactly the address that was checked.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use faas_types::Transport;
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepidle, set_tcp_keepintvl};
use tokio::net::TcpSocket;

/// How long the far end may take: programs have shorter timeouts of theirs, or wait for it.
const CONNECT: Duration = Duration::from_secs(30);

/// How long a connection is silent before the far end is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// The addresses of this machine that connections are made from; the system's choice where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceAddresses {
    /// For connections over IPv4.
    pub v4: Option<Ipv4Addr>,
    /// For connections over IPv6.
    pub v6: Option<Ipv6Addr>,
}

// === impl SourceAddresses ===

impl SourceAddresses {
    /// Where a connection to an address is made from; `None` where there is an address for the other family alone.
    pub(super) fn of(self, to: IpAddr) -> Option<SocketAddr> {
        let any = self == Self::default();
        let (own, unspecified) = match to {
            IpAddr::V4(_) => (self.v4.map(IpAddr::V4), IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            IpAddr::V6(_) => (self.v6.map(IpAddr::V6), IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        };
        own.or(any.then_some(unspecified)).map(|address| SocketAddr::new(address, 0))
    }

    /// Whether connections over IPv6 are made.
    pub(super) fn has_v6(self) -> bool {
        self.v6.is_some() || self.v4.is_none()
    }
}

/// A connected socket that does not block.
pub(super) async fn connect(transport: Transport, to: SocketAddr, from: SocketAddr) -> io::Result<OwnedFd> {
    match transport {
        Transport::Tcp => {
            let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            if !from.ip().is_unspecified() {
                socket.bind(from)?;
            }
            let connecting = tokio::time::timeout(CONNECT, socket.connect(to));
            let stream = connecting.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            // The program in the sandbox has decided already what goes together.
            stream.set_nodelay(true)?;
            // What the program asks of its own socket ends in the sandbox: pools would lose idle connections on the way.
            set_socket_keepalive(&stream, true)?;
            set_tcp_keepidle(&stream, KEEPALIVE)?;
            set_tcp_keepintvl(&stream, KEEPALIVE / 4)?;
            Ok(stream.into_std()?.into())
        }
        Transport::Udp => {
            let socket = UdpSocket::bind(from)?;
            socket.set_nonblocking(true)?;
            socket.connect(to)?;
            Ok(socket.into())
        }
    }
}
