//! Connections through a proxy of the operator.

use std::net::SocketAddr;
use std::sync::Arc;

use faas_net::protocol::{Protocol, Refusal};
use faas_outbound::{BrokerConfig, Dialer, HostView, IndexEgress, Operator, Remedy, SourceAddresses};
use faas_ports::Egress;
use faas_types::{EgressPolicy, IndexHost};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::lab::{Lab, Listener, NameServer, config, policy};

const LOOPBACK: &[&str] = &["127.0.0.0/8"];

/// What a proxy of these tests speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Socks,
    Http,
}

/// A proxy that wants user and password, and notes what it was asked for.
struct ProxyServer {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ProxyServer {
    async fn start(speaks: Speaks) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let noted = Arc::clone(&noted);
                tokio::spawn(async move {
                    match speaks {
                        Speaks::Socks => socks(stream, &noted).await,
                        Speaks::Http => http(stream, &noted).await,
                    }
                });
            }
        });
        let scheme = if speaks == Speaks::Socks { "socks5" } else { "http" };
        Self { url: format!("{scheme}://us%40er:pa%3Ass@{address}"), asked }
    }

    fn config(&self) -> BrokerConfig {
        through(&self.url)
    }
}

fn through(url: &str) -> BrokerConfig {
    let dialer = Dialer::new(SourceAddresses::default(), Some(url.parse().unwrap()));
    BrokerConfig { dialer: Arc::new(dialer), ..config(LOOPBACK) }
}

async fn socks(mut stream: TcpStream, asked: &Mutex<Vec<String>>) -> Option<()> {
    let mut start = [0; 4];
    stream.read_exact(&mut start).await.ok()?;
    if start != [5, 2, 0, 2] {
        return None;
    }
    stream.write_all(&[5, 2]).await.ok()?;
    let mut login = [0; 13];
    stream.read_exact(&mut login).await.ok()?;
    let is_known = &login == b"\x01\x05us@er\x05pa:ss";
    stream.write_all(&[1, u8::from(!is_known)]).await.ok()?;
    let mut request = [0; 10];
    stream.read_exact(&mut request).await.ok()?;
    assert_eq!(&request[..4], [5, 1, 0, 1], "an address of IPv4");
    let to = SocketAddr::from((*request[4..].first_chunk::<4>()?, u16::from_be_bytes([request[8], request[9]])));
    asked.lock().push(to.to_string());
    match TcpStream::connect(to).await {
        Ok(mut far) => {
            stream.write_all(&[5, 0, 0, 3, 1, b'x', 0, 0]).await.ok()?;
            copy_bidirectional(&mut stream, &mut far).await.ok()?;
        }
        Err(_) => stream.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await.ok()?,
    }
    Some(())
}

async fn http(mut stream: TcpStream, asked: &Mutex<Vec<String>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let to = head.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    asked.lock().push(to.clone());
    if !head.contains("\r\nProxy-Authorization: Basic dXNAZXI6cGE6c3M=\r\n") {
        stream.write_all(b"HTTP/1.1 407 No\r\n\r\n").await.ok()?;
        return None;
    }
    match TcpStream::connect(&to).await {
        Ok(mut far) => {
            // What the far end says first comes in one piece with the answer.
            let mut first = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n".to_vec();
            let mut greeting = [0; 8];
            let said = tokio::time::timeout(std::time::Duration::from_millis(20), far.read(&mut greeting)).await;
            first.extend(&greeting[..said.map_or(0, |said| said.unwrap_or(0))]);
            stream.write_all(&first).await.ok()?;
            copy_bidirectional(&mut stream, &mut far).await.ok()?;
        }
        Err(_) => stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await.ok()?,
    }
    Some(())
}

// The test's own thread waits for what comes through.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_asked_for_the_address_that_was_checked() {
    for speaks in [Speaks::Socks, Speaks::Http] {
        let (proxy, names, listener) =
            (ProxyServer::start(speaks).await, NameServer::start().await, Listener::start("127.0.0.2"));
        names.set("api.test", &["127.0.0.2"]);
        let config = BrokerConfig { host: names.view(), ..proxy.config() };
        let (_lab, mut process, mut attached) = Lab::one(config, policy(Some(&["api.test"]), &[])).await;
        let sandbox = attached.sandbox;
        let to = listener.address;
        assert_eq!(process.tcp(sandbox, to).await.unwrap_err(), Refusal::Denied, "rules hold as ever");
        attached.denial().await;
        assert!(proxy.asked.lock().is_empty());
        process.look_up(sandbox, "api.test").await;
        let (_, check_name, socket) = process.tcp(sandbox, to).await.unwrap();
        assert!(check_name && listener.hears(socket, "through the proxy"), "{speaks:?}");
        assert_eq!(*proxy.asked.lock(), [to.to_string()], "never for the name");
        let datagrams = process.connect(sandbox, Protocol::Udp, to).await;
        assert_eq!(datagrams.unwrap_err(), Refusal::Denied);
        let denial = attached.denial().await;
        assert_eq!(denial.rule, "the server's connections go through a proxy, which carries no datagrams");
        assert!(denial.key.contains("egress.proxy"), "{denial:?}");
    }
}

#[tokio::test]
async fn a_far_end_that_speaks_first_is_heard_through_a_proxy() {
    for speaks in [Speaks::Socks, Speaks::Http] {
        let (proxy, far) = (ProxyServer::start(speaks).await, TcpListener::bind("127.0.0.1:0").await.unwrap());
        let to = far.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = far.accept().await.unwrap();
            stream.write_all(b"220 hello").await.unwrap();
        });
        let (_lab, mut process, attached) = Lab::one(proxy.config(), EgressPolicy::default()).await;
        let (_, _, socket) = process.tcp(attached.sandbox, to).await.unwrap();
        let mut stream = TcpStream::from_std(std::net::TcpStream::from(socket)).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "220 hello", "{speaks:?}");
    }
}

#[tokio::test]
async fn a_refusal_of_the_far_end_is_told_from_one_of_the_proxy() {
    let gone = Listener::start("127.0.0.1").address;
    let socks = ProxyServer::start(Speaks::Socks).await;
    let (_lab, mut process, attached) = Lab::one(socks.config(), EgressPolicy::default()).await;
    assert_eq!(process.tcp(attached.sandbox, gone).await.unwrap_err(), Refusal::Refused);
    let http = ProxyServer::start(Speaks::Http).await;
    let (_lab, mut process, attached) = Lab::one(http.config(), EgressPolicy::default()).await;
    assert_eq!(process.tcp(attached.sandbox, gone).await.unwrap_err(), Refusal::Unreachable);
    let listener = Listener::start("127.0.0.1");
    let bad = [
        socks.url.replace("pa%3Ass", "other"),
        http.url.replace("pa%3Ass", "other"),
        socks.url.replace("socks5", "http"),
        format!("socks5://{gone}"),
    ];
    for url in bad {
        let (_lab, mut process, attached) = Lab::one(through(&url), EgressPolicy::default()).await;
        assert_eq!(process.tcp(attached.sandbox, listener.address).await.unwrap_err(), Refusal::Unreachable, "{url}");
    }
    assert!(listener.is_alone(), "nothing goes around the proxy");
}

#[tokio::test]
async fn builds_go_through_the_proxy_too() {
    let (proxy, listener) = (ProxyServer::start(Speaks::Socks).await, Listener::start("127.0.0.1"));
    let host: IndexHost = listener.address.to_string().parse().unwrap();
    let remedy = Remedy { allowed: Vec::new(), operator: Operator::OfServer };
    let (view, dialer) = (Arc::new(HostView::default()), proxy.config().dialer);
    let egress = IndexEgress::new(Vec::new(), &[host], Vec::new(), remedy, (view, dialer));
    assert!(egress.connect("127.0.0.1", listener.address.port()).await.is_ok());
    assert_eq!(*proxy.asked.lock(), [listener.address.to_string()]);
}
