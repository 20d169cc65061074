//! Connections for what installs packages.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_ports::{Egress, EgressError, Wire};
use faas_types::{EgressHost, EgressPolicy, EgressTarget, IndexHost, PortRange, Transport};
use tokio::net::lookup_host;

use crate::{Attempt, Dialer, HostAddresses, HostView, OpenKey, OperatorRules, Rule, Rules, Ruling};

/// How long a look-up and a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Connects to hosts that are named, and to no other.
pub struct IndexEgress {
    /// Only at addresses of the public internet. Hosts of one index stand together: who needs one needs all.
    public: Vec<Vec<IndexHost>>,
    /// Every host that was named is allowed, and those that the operator named are open wherever they are.
    policy: EgressPolicy,
    operator: OperatorRules,
    remedy: Remedy,
    host: Arc<HostView>,
    dialer: Arc<Dialer>,
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
    /// Hosts that are reached at public addresses only, by index, and those that an operator named; none of them where the
    /// operator denies it everybody.
    #[must_use]
    pub fn new(
        public: Vec<Vec<IndexHost>>,
        trusted: &[IndexHost],
        deny: Vec<EgressTarget>,
        remedy: Remedy,
        (host, dialer): (Arc<HostView>, Arc<Dialer>),
    ) -> Self {
        let open: Vec<EgressTarget> = trusted.iter().flat_map(targets).collect();
        let allow = public.iter().flatten().flat_map(targets).chain(open.iter().cloned()).collect();
        let policy = EgressPolicy { allow: Some(allow), ..EgressPolicy::default() };
        let operator = OperatorRules { deny, open, networks: Vec::new(), open_key: OpenKey::Builds };
        Self { public, policy, operator, remedy, host, dialer }
    }

    fn refusal(&self, rule: &Rule, host: &str, port: u16) -> EgressError {
        let is_of_index = self.public.iter().flatten().any(|one| one.has(host, port));
        if let Rule::OperatorDeny(rule) = rule {
            let host = shown(host);
            return EgressError::NotAllowed(format!(
                "{host} is denied by {rule} of egress.deny in the server's configuration"
            ));
        }
        if is_of_index {
            return self.no_public_address(host, port);
        }
        let refused = IndexHost { host: shown(host), port: Some(port) };
        let advice = self.remedy.naming(std::slice::from_ref(&refused));
        EgressError::NotAllowed(format!("builds may not connect to {refused}; to allow it, {advice}"))
    }

    /// Rules on a connection to an address that a host led to, or is.
    #[must_use]
    pub fn rule(&self, host: &str, address: IpAddr, port: u16) -> Ruling {
        let own = self.host.known();
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        let names = std::slice::from_ref(&name);
        self.rules(&own).rule(&Attempt { transport: Transport::Tcp, address, port: Some(port), names })
    }

    fn rules<'r>(&'r self, host: &'r HostAddresses) -> Rules<'r> {
        Rules { operator: &self.operator, policy: &self.policy, project: None, host }
    }

    #[cfg(test)]
    pub(crate) fn on(self, host: HostAddresses) -> Self {
        Self { host: HostView::fixed(host), ..self }
    }

    /// Addresses of a host that may be connected to, all of them checked.
    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, EgressError> {
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        let found: Vec<IpAddr> = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let ruling = self.rules(&self.host.known()).rule_on_name(&name, Some((Transport::Tcp, port)));
                if !ruling.allowed {
                    return Err(self.refusal(&ruling.rule, host, port));
                }
                let found = lookup_host((host, port)).await.map_err(|error| failed(host, port, &error))?;
                found.map(|found| found.ip()).collect()
            }
        };
        let (mut good, mut refused) = (Vec::new(), Rule::Unlisted);
        for address in found {
            let ruling = self.rule(host, address, port);
            if ruling.allowed { good.push(SocketAddr::new(address, port)) } else { refused = ruling.rule }
        }
        if good.is_empty() { Err(self.refusal(&refused, host, port)) } else { Ok(good) }
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
        let connecting = async {
            self.host.refresh().await;
            let good = self.addresses(host, port).await?;
            // To one of the addresses that were checked; the name is not looked up again.
            self.dialer.tcp_to_any(&good).await.map_err(|error| failed(host, port, &error))
        };
        match tokio::time::timeout(CONNECT, connecting).await {
            Ok(connected) => connected.map(|stream| Box::new(stream) as Box<dyn Wire>),
            Err(_) => Err(failed(host, port, &io::ErrorKind::TimedOut.into())),
        }
    }
}

/// The rules that take in what a host of an index does.
fn targets(host: &IndexHost) -> impl Iterator<Item = EgressTarget> {
    let of = match host.host.parse::<IpAddr>() {
        Ok(address) => EgressHost::network(address, u8::MAX),
        Err(_) => EgressHost::Name(host.host.clone()),
    };
    let ports = host.port.map_or(vec![80, 443], |port| vec![port]);
    ports.into_iter().map(move |port| EgressTarget {
        transport: Some(Transport::Tcp),
        host: of.clone(),
        ports: Some(PortRange { first: port, last: port }),
    })
}

fn failed(host: &str, port: u16, error: &io::Error) -> EgressError {
    EgressError::Failed(format!("cannot reach {}:{port}: {error}", shown(host)))
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
        IndexEgress::new(
            public.iter().map(|index| hosts(index)).collect(),
            &hosts(trusted),
            Vec::new(),
            remedy,
            Default::default(),
        )
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
