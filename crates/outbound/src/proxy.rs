//! Asks a proxy for a connection. It is asked for the address that was checked, never for a name.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use faas_types::{EgressProxy, ProxyCredentials, ProxyKind};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};

use crate::source_addresses::SourceAddresses;

/// Bytes of a proxy's answer that are read.
const ANSWER_MAX: usize = 16 << 10;

/// How long the addresses of a proxy's name are used: a look-up occupies a thread, and each connection needs them.
const KEPT: Duration = Duration::from_secs(10);

/// A proxy and what its name leads to.
#[derive(Debug)]
pub(crate) struct Proxy {
    settings: EgressProxy,
    known: Mutex<Option<(Arc<[SocketAddr]>, Instant)>>,
}

/// Why a proxy made no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyFailure {
    /// The proxy works, and the far end does not.
    #[error("the far end: {0}")]
    FarEnd(io::Error),
    /// The proxy cannot be used at all.
    #[error("{0}")]
    Proxy(String),
}

// === impl Proxy ===

impl Proxy {
    pub(crate) fn new(settings: EgressProxy) -> Self {
        Self { settings, known: Mutex::default() }
    }

    pub(crate) fn settings(&self) -> &EgressProxy {
        &self.settings
    }

    /// A connection to exactly this address, through the proxy.
    pub(crate) async fn connect(&self, source: SourceAddresses, to: SocketAddr) -> Result<TcpStream, ProxyFailure> {
        let mut stream = self.reach(source).await.map_err(|error| ProxyFailure::Proxy(error.to_string()))?;
        let asked = match self.settings.kind() {
            ProxyKind::Socks5 => socks(&mut stream, self.settings.credentials(), to).await,
            ProxyKind::Http => http(&mut stream, self.settings.credentials(), to).await,
        };
        // A connection that breaks on the way is reported as the proxy's fault.
        asked.map_err(|error| ProxyFailure::Proxy(error.to_string()))?.map_err(ProxyFailure::FarEnd)?;
        Ok(stream)
    }

    async fn reach(&self, source: SourceAddresses) -> io::Result<TcpStream> {
        let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in self.addresses().await?.iter() {
            match source.tcp(*address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        // It may have moved.
        self.known.lock().take();
        Err(failed)
    }

    /// The operator named it: it may be anywhere.
    async fn addresses(&self) -> io::Result<Arc<[SocketAddr]>> {
        if let Some((known, since)) = &*self.known.lock()
            && since.elapsed() < KEPT
        {
            return Ok(Arc::clone(known));
        }
        let found: Arc<[SocketAddr]> = lookup_host(self.settings.address()).await?.collect();
        *self.known.lock() = Some((Arc::clone(&found), Instant::now()));
        Ok(found)
    }
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// RFC 1928, with user and password of RFC 1929. The inner error is the far end's.
async fn socks(
    stream: &mut TcpStream,
    credentials: Option<&ProxyCredentials>,
    to: SocketAddr,
) -> io::Result<io::Result<()>> {
    let methods: &[u8] = if credentials.is_some() { &[5, 2, 0, 2] } else { &[5, 1, 0] };
    stream.write_all(methods).await?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await?;
    match (answer, credentials) {
        ([5, 0], _) => {}
        ([5, 2], Some(of)) => log_in(stream, of).await?,
        ([5, _], _) => return Err(broken("it wants credentials that egress.proxy does not have")),
        _ => return Err(broken("it does not speak SOCKS 5")),
    }
    stream.write_all(&socks_request(to)).await?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [5, code, _, kind] = head else { return Err(broken("it does not speak SOCKS 5")) };
    // The address that the proxy connects from; not needed.
    let length = match kind {
        1 => 4,
        4 => 16,
        3 => usize::from(stream.read_u8().await?),
        _ => return Err(broken("its answer has an unknown kind of address")),
    };
    stream.read_exact(&mut vec![0; length + 2]).await?;
    Ok(match code {
        0 => Ok(()),
        2 => Err(io::Error::new(io::ErrorKind::PermissionDenied, "the proxy's rules refuse it")),
        3 | 4 => Err(io::ErrorKind::HostUnreachable.into()),
        5 => Err(io::ErrorKind::ConnectionRefused.into()),
        6 => Err(io::ErrorKind::TimedOut.into()),
        other => Err(io::Error::other(format!("the proxy failed with code {other}"))),
    })
}

async fn log_in(stream: &mut TcpStream, credentials: &ProxyCredentials) -> io::Result<()> {
    let mut message = vec![1];
    for part in [&credentials.user, &credentials.password] {
        message.push(u8::try_from(part.len()).map_err(|_| broken("its credentials are too long for SOCKS"))?);
        message.extend(part.as_bytes());
    }
    stream.write_all(&message).await?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await?;
    if answer[1] == 0 { Ok(()) } else { Err(broken("it refuses the credentials of egress.proxy")) }
}

fn socks_request(to: SocketAddr) -> Vec<u8> {
    let mut request = vec![5, 1, 0];
    match to.ip() {
        IpAddr::V4(address) => {
            request.push(1);
            request.extend(address.octets());
        }
        IpAddr::V6(address) => {
            request.push(4);
            request.extend(address.octets());
        }
    }
    request.extend(to.port().to_be_bytes());
    request
}

/// `CONNECT` of HTTP/1.1. The inner error is the far end's.
async fn http(
    stream: &mut TcpStream,
    credentials: Option<&ProxyCredentials>,
    to: SocketAddr,
) -> io::Result<io::Result<()>> {
    let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
    if let Some(ProxyCredentials { user, password }) = credentials {
        let both = BASE64.encode(format!("{user}:{password}"));
        request.push_str(&format!("Proxy-Authorization: Basic {both}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    let answer = read_head(stream).await?;
    Ok(match status_of(&answer).ok_or_else(|| broken("it does not speak HTTP"))? {
        200..=299 => Ok(()),
        407 => return Err(broken("it refuses the credentials of egress.proxy")),
        403 => Err(io::Error::new(io::ErrorKind::PermissionDenied, "the proxy's rules refuse it")),
        504 => Err(io::ErrorKind::TimedOut.into()),
        status => Err(io::Error::new(io::ErrorKind::HostUnreachable, format!("the proxy answered {status}"))),
    })
}

fn status_of(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    let rest = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()
}

/// Reads up to the end of an answer's head and no byte further: what follows is the far end's, which may speak first.
async fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    const END: &[u8] = b"\r\n\r\n";
    let (mut head, mut buffer) = (Vec::new(), [0; 2_048]);
    loop {
        let seen = stream.peek(&mut buffer).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let before = head.len();
        head.extend_from_slice(&buffer[..seen]);
        let end = head.windows(END.len()).position(|part| part == END).map(|at| at + END.len());
        head.truncate(end.unwrap_or(head.len()));
        stream.read_exact(&mut buffer[..head.len() - before]).await?;
        if end.is_some() {
            return Ok(head);
        }
        if head.len() > ANSWER_MAX {
            return Err(broken("the head of its answer is too long"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_proxys_addresses_are_kept_until_they_fail_or_are_old() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        // The name leads nowhere: only what is kept does.
        let proxy = Proxy::new("socks5://proxy.invalid:1080".parse().expect("a proxy"));
        let keep = |address: SocketAddr, since| *proxy.known.lock() = Some((Arc::from([address]), since));
        keep(listener.local_addr().expect("an address"), Instant::now());
        for _ in 0..2 {
            proxy.reach(SourceAddresses::default()).await.expect("a connection");
        }
        keep(gone, Instant::now());
        assert!(proxy.reach(SourceAddresses::default()).await.is_err() && proxy.known.lock().is_none());
        if let Some(long_ago) = Instant::now().checked_sub(KEPT) {
            keep(listener.local_addr().expect("an address"), long_ago);
            assert!(proxy.reach(SourceAddresses::default()).await.is_err(), "it is looked up again");
        }
    }
}
