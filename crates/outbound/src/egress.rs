//! Connections for what installs packages.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use faas_ports::{Egress, EgressError, Wire};
use faas_types::IndexHost;
use tokio::net::{TcpStream, lookup_host};

use crate::Guard;

/// How long a look-up and a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Connects to hosts that are named, and to no other.
pub struct IndexEgress {
    /// Only at addresses of the public internet.
    public: Vec<IndexHost>,
    /// Wherever they are: the operator named them.
    trusted: Vec<IndexHost>,
    guard: Guard,
}

// === impl IndexEgress ===

impl IndexEgress {
    /// Hosts that are reached at public addresses only, and those that an operator named.
    #[must_use]
    pub fn new(public: Vec<IndexHost>, trusted: Vec<IndexHost>) -> Self {
        Self { public, trusted, guard: Guard::default() }
    }

    fn may_have(&self, host: &str, port: u16) -> Result<bool, EgressError> {
        let is_in = |hosts: &[IndexHost]| hosts.iter().any(|one| one.has(host, port));
        match (is_in(&self.trusted), is_in(&self.public)) {
            (true, _) => Ok(true),
            (false, true) => Ok(false),
            (false, false) => Err(EgressError::NotAllowed(format!(
                "builds may not connect to {}; the server's operator can name it in `allow` of [build], or \
                 FAAS_BUILD_ALLOW",
                IndexHost { host: shown(host), port: Some(port) }
            ))),
        }
    }
}

#[async_trait]
impl Egress for IndexEgress {
    async fn connect(&self, host: &str, port: u16) -> Result<Box<dyn Wire>, EgressError> {
        let is_trusted = self.may_have(host, port)?;
        let failed = |error: &io::Error| EgressError::Failed(format!("cannot reach {}:{port}: {error}", shown(host)));
        let connecting = async {
            let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
                Ok(address) => vec![SocketAddr::new(address, port)],
                Err(_) => lookup_host((host, port)).await.map_err(|error| failed(&error))?.collect(),
            };
            let may = |address: &SocketAddr| is_trusted || self.guard.lets(address.ip());
            let good: Vec<SocketAddr> = found.into_iter().filter(may).collect();
            if good.is_empty() {
                let host = shown(host);
                return Err(EgressError::NotAllowed(format!(
                    "{host} has no address of the public internet; the server's operator can name it in `allow` of \
                     [build], or FAAS_BUILD_ALLOW"
                )));
            }
            // To one of the addresses that were checked; the name is not looked up again.
            TcpStream::connect(&good[..]).await.map_err(|error| failed(&error))
        };
        match tokio::time::timeout(CONNECT, connecting).await {
            Ok(connected) => connected.map(|stream| Box::new(stream) as Box<dyn Wire>),
            Err(_) => Err(failed(&io::ErrorKind::TimedOut.into())),
        }
    }
}

/// A host as text for people, however it was made up.
fn shown(host: &str) -> String {
    host.chars().take(100).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn hosts(list: &[&str]) -> Vec<IndexHost> {
        list.iter().map(|text| text.parse().expect("a host")).collect()
    }

    async fn refusal(egress: &IndexEgress, host: &str, port: u16) -> String {
        match egress.connect(host, port).await {
            Err(EgressError::NotAllowed(why)) => why,
            Err(EgressError::Failed(why)) => panic!("tried: {why}"),
            Ok(_) => panic!("{host}:{port} was connected to"),
        }
    }

    #[tokio::test]
    async fn only_named_hosts_and_ports_are_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let egress = IndexEgress::new(hosts(&["localhost"]), hosts(&[&format!("127.0.0.1:{port}")]));
        assert!(egress.connect("127.0.0.1", port).await.is_ok());
        let why = refusal(&egress, "localhost", 80).await;
        assert!(why.contains("no address of the public internet"), "{why}");
        for (host, port) in [("127.0.0.1", 80), ("169.254.169.254", 80), ("localhost", 22), ("evil.example", 443)] {
            let why = refusal(&egress, host, port).await;
            assert!(why.contains(host) && why.contains("FAAS_BUILD_ALLOW"), "{why}");
        }
    }

    #[tokio::test]
    async fn a_made_up_host_is_shown_harmlessly() {
        let why = refusal(&IndexEgress::new(Vec::new(), Vec::new()), "a\u{1b}[31m\nb", 80).await;
        assert!(!why.chars().any(char::is_control), "{why}");
    }
}
