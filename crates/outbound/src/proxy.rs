//! Asks a proxy for a connection. It is asked for the address that was checked, never for a name.

use std::io;
use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use faas_types::{EgressProxy, ProxyCredentials, ProxyKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};

use crate::SourceAddresses;

/// Bytes of a proxy's answer that are read.
const ANSWER_MAX: usize = 16 << 10;

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

/// A connection to exactly this address, through a proxy.
pub(crate) async fn connect(
    proxy: &EgressProxy,
    source: SourceAddresses,
    to: SocketAddr,
) -> Result<TcpStream, ProxyFailure> {
    let mut stream = reach(proxy, source).await.map_err(|error| ProxyFailure::Proxy(error.to_string()))?;
    let asked = match proxy.kind() {
        ProxyKind::Socks5 => socks(&mut stream, proxy.credentials(), to).await,
        ProxyKind::Http => http(&mut stream, proxy.credentials(), to).await,
    };
    // What breaks on the way is the proxy's fault, or nobody's that can be named.
    asked.map_err(|error| ProxyFailure::Proxy(error.to_string()))?.map_err(ProxyFailure::FarEnd)?;
    Ok(stream)
}

async fn reach(proxy: &EgressProxy, source: SourceAddresses) -> io::Result<TcpStream> {
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    // The operator named it: it may be anywhere.
    for address in lookup_host(proxy.address()).await? {
        match source.tcp(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
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
    // Where the proxy connects from; nobody asks for it.
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
