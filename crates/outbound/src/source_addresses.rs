//! The addresses that connections are made from, and connections from exactly these.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::socket::{setsockopt, sockopt};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, ipproto, socket_with};
use tokio::net::TcpStream;

/// The addresses of this machine that connections are made from. Without one, the system chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceAddresses {
    /// For connections over IPv4.
    pub v4: Option<Ipv4Addr>,
    /// For connections over IPv6.
    pub v6: Option<Ipv6Addr>,
}

/// A connection that was asked for, by a socket that does not block.
#[derive(Debug)]
pub(crate) enum Begun {
    /// The far end has answered: it is on this machine.
    Connected(OwnedFd),
    /// It has not answered yet.
    UnderWay(OwnedFd),
}

// === impl SourceAddresses ===

impl SourceAddresses {
    /// A connection from one of them.
    pub(crate) async fn tcp(self, to: SocketAddr) -> io::Result<TcpStream> {
        let stream = match self.begin(to)? {
            Begun::Connected(socket) => TcpStream::from_std(socket.into())?,
            Begun::UnderWay(socket) => answered(socket).await?,
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Asks for a connection from one of them.
    pub(crate) fn begin(self, to: SocketAddr) -> io::Result<Begun> {
        let from = self.of(to.ip())?;
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        if !from.ip().is_unspecified() {
            // The port is chosen with the far end: else each connection takes one for itself, and 28,000 are all there are.
            setsockopt(&socket.as_fd(), sockopt::IpBindAddressNoPort, &true)?;
            bind(&socket, &from)?;
        }
        match connect(&socket, &to) {
            Ok(()) => return Ok(Begun::Connected(socket)),
            Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        // The first call never says that it is done; a far end on this machine has answered by now.
        match connect(&socket, &to) {
            Ok(()) | Err(Errno::ISCONN) => Ok(Begun::Connected(socket)),
            Err(Errno::ALREADY | Errno::INPROGRESS | Errno::INTR) => Ok(Begun::UnderWay(socket)),
            Err(error) => Err(error.into()),
        }
    }

    /// Where a connection to an address is made from.
    ///
    /// # Errors
    /// Where there is an address for the other family alone.
    pub(crate) fn of(self, to: IpAddr) -> io::Result<SocketAddr> {
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

/// Waits until the far end has answered.
pub(crate) async fn answered(begun: OwnedFd) -> io::Result<TcpStream> {
    let stream = TcpStream::from_std(begun.into())?;
    stream.writable().await?;
    match stream.take_error()? {
        None => Ok(stream),
        Some(error) => Err(error),
    }
}
