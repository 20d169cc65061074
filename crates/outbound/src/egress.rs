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
    /// Only at addresses of the public internet. Hosts of one index stand together: who needs one needs all.
    public: Vec<Vec<IndexHost>>,
    /// Wherever they are: the operator named them.
    trusted: Vec<IndexHost>,
    remedy: Remedy,
    guard: Guard,
}

/// What a refusal tells to do.
#[derive(Clone, Debug)]
pub struct Remedy {
    /// What `build.allow` names already.
    pub allowed: Vec<IndexHost>,
    /// Who can allow more.
    pub operator: Operator,
}

/// Who decides what builds connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Who runs a server, often not who deploys.
    OfServer,
    /// Who ran the command that hosts a private server.
    OfCommand,
}

// === impl IndexEgress ===

impl IndexEgress {
    /// Hosts that are reached at public addresses only, by index, and those that an operator named.
    #[must_use]
    pub fn new(public: Vec<Vec<IndexHost>>, trusted: Vec<IndexHost>, remedy: Remedy) -> Self {
        Self { public, trusted, remedy, guard: Guard::default() }
    }

    fn may_have(&self, host: &str, port: u16) -> Result<bool, EgressError> {
        let is_in = |hosts: &[IndexHost]| hosts.iter().any(|one| one.has(host, port));
        match (is_in(&self.trusted), self.public.iter().any(|index| is_in(index))) {
            (true, _) => Ok(true),
            (false, true) => Ok(false),
            (false, false) => {
                let refused = IndexHost { host: shown(host), port: Some(port) };
                let advice = self.remedy.naming(std::slice::from_ref(&refused));
                Err(EgressError::NotAllowed(format!("builds may not connect to {refused}; to allow it, {advice}")))
            }
        }
    }

    /// The refusal of a host that is reached at public addresses only, and has none. Allowing it alone would lead to the
    /// same refusal for the next host of its index.
    fn no_public_address(&self, host: &str, port: u16) -> EgressError {
        let index = self.public.iter().find(|index| index.iter().any(|one| one.has(host, port)));
        let advice = self.remedy.naming(index.map_or(&[], Vec::as_slice));
        let host = shown(host);
        EgressError::NotAllowed(format!(
            "{host} resolves to no address of the public internet here; if it is a mirror of yours, {advice}"
        ))
    }
}

// === impl Remedy ===

impl Remedy {
    /// How to allow these hosts besides those that are allowed.
    fn naming(&self, hosts: &[IndexHost]) -> String {
        let further = hosts.iter().filter(|host| !self.allowed.contains(host));
        let all: Vec<String> = self.allowed.iter().chain(further).map(ToString::to_string).collect();
        let (variable, key) = (format!("FAAS_BUILD_ALLOW={}", all.join(",")), format!("allow = {all:?}"));
        match self.operator {
            Operator::OfServer => format!(
                "the server's operator restarts it with {variable}, or with {key} in [build] of its configuration file"
            ),
            Operator::OfCommand => {
                format!("put {variable} before the command, or {key} in [build] of a file that --config names")
            }
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
                return Err(self.no_public_address(host, port));
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

    fn egress(public: &[&[&str]], trusted: &[&str]) -> IndexEgress {
        let remedy = Remedy { allowed: hosts(&["old.internal"]), operator: Operator::OfServer };
        IndexEgress::new(public.iter().map(|index| hosts(index)).collect(), hosts(trusted), remedy)
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
        let egress = egress(&[&["localhost", "files.localhost"], &["npm.example"]], &[&format!("127.0.0.1:{port}")]);
        assert!(egress.connect("127.0.0.1", port).await.is_ok());
        let why = refusal(&egress, "localhost", 80).await;
        assert!(why.contains("no address of the public internet"), "{why}");
        assert!(why.contains("FAAS_BUILD_ALLOW=old.internal,localhost,files.localhost,"), "all hosts at once: {why}");
        assert!(why.contains("allow = [\"old.internal\", \"localhost\", \"files.localhost\"]"), "{why}");
        for (host, port) in [("127.0.0.1", 80), ("169.254.169.254", 80), ("localhost", 22), ("evil.example", 443)] {
            let why = refusal(&egress, host, port).await;
            assert!(why.contains(host) && why.contains("FAAS_BUILD_ALLOW"), "{why}");
        }
    }

    #[tokio::test]
    async fn a_made_up_host_is_shown_harmlessly() {
        let why = refusal(&egress(&[], &[]), "a\u{1b}[31m\nb", 80).await;
        assert!(!why.chars().any(char::is_control), "{why}");
    }
}
