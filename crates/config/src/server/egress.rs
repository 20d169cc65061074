//! `[egress]`: what functions may connect to, for all functions of a server.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU64;
use std::str::FromStr;

use faas_types::{ByteSize, EgressLimits, EgressProxy, EgressTarget, NetworkName, ProjectId, limits};
use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::ConfigError;
use super::kinds;

/// With less, programs would wait for seconds after each packet.
const BANDWIDTH_MIN: ByteSize = ByteSize::from_bytes(64 << 10);

/// What functions may connect to, on top of which their own policies hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EgressSection {
    /// Addresses that are open although they are not of the public internet.
    #[schemars(with = "Vec<kinds::Rule>")]
    pub private: Vec<EgressTarget>,
    /// What no function may reach.
    #[schemars(with = "Vec<kinds::Rule>")]
    pub deny: Vec<EgressTarget>,
    /// Private networks that functions ask for by name.
    #[schemars(with = "BTreeMap<String, Vec<kinds::Rule>>", extend("x-file-only" = true))]
    pub networks: BTreeMap<NetworkName, PrivateNetwork>,
    /// The addresses of this machine that connections are made from; the system's choice when absent.
    #[schemars(with = "Option<kinds::Address>")]
    #[serde(skip_serializing_if = "SourceAddress::is_unset")]
    pub source_address: SourceAddress,
    /// What connections are made through; nothing when absent.
    #[schemars(with = "Option<kinds::Url>")]
    pub proxy: Option<EgressProxy>,
    /// The name servers that names are looked up at; those of `/etc/resolv.conf` when empty.
    #[schemars(with = "Vec<kinds::Address>")]
    pub resolvers: Vec<ResolverAddress>,
    /// Connections of one instance at a time.
    pub connections: u32,
    /// Connections of one project at a time.
    pub project_connections: u32,
    /// New connections of one instance a second.
    pub connect_rate: u32,
    /// New connections of one project a second.
    pub project_connect_rate: u32,
    /// Look-ups of one instance a second.
    pub query_rate: u32,
    /// Look-ups of one project a second.
    pub project_query_rate: u32,
    /// Bytes of one instance a second, both directions together; 0 for no bound.
    #[schemars(with = "kinds::Size")]
    pub bandwidth: ByteSize,
    /// Bytes of one project a second; 0 for no bound.
    #[schemars(with = "kinds::Size")]
    pub project_bandwidth: ByteSize,
}

/// A private network that functions ask for by name: a list of rules for every project, or a table that names the projects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PrivateNetwork {
    /// What belongs to it.
    pub targets: Vec<EgressTarget>,
    /// The projects that may ask for it; every project when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projects: Option<Vec<ProjectId>>,
}

/// Addresses that connections are made from: one of IPv4, one of IPv6, or both with a comma between. Where there is one
/// alone, connections of the other family are not made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceAddress {
    /// For connections over IPv4.
    pub v4: Option<Ipv4Addr>,
    /// For connections over IPv6.
    pub v6: Option<Ipv6Addr>,
}

/// A name server: an address, with a port unless it is 53.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResolverAddress(pub SocketAddr);

// === impl EgressSection ===

impl Default for EgressSection {
    fn default() -> Self {
        let EgressLimits {
            connections,
            project_connections,
            connect_rate,
            project_connect_rate,
            query_rate,
            project_query_rate,
            bandwidth,
            project_bandwidth,
        } = EgressLimits::DEFAULT;
        let bytes = |rate: Option<NonZeroU64>| ByteSize::from_bytes(rate.map_or(0, NonZeroU64::get));
        Self {
            private: Vec::new(),
            deny: Vec::new(),
            networks: BTreeMap::new(),
            source_address: SourceAddress::default(),
            proxy: None,
            resolvers: Vec::new(),
            connections,
            project_connections,
            connect_rate,
            project_connect_rate,
            query_rate,
            project_query_rate,
            bandwidth: bytes(bandwidth),
            project_bandwidth: bytes(project_bandwidth),
        }
    }
}

impl EgressSection {
    /// What each instance and each project may have.
    #[must_use]
    pub fn limits(&self) -> EgressLimits {
        EgressLimits {
            connections: self.connections,
            project_connections: self.project_connections,
            connect_rate: self.connect_rate,
            project_connect_rate: self.project_connect_rate,
            query_rate: self.query_rate,
            project_query_rate: self.project_query_rate,
            bandwidth: NonZeroU64::new(self.bandwidth.bytes()),
            project_bandwidth: NonZeroU64::new(self.project_bandwidth.bytes()),
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |field, message: &str| Err(ConfigError::OutOfRange { field, message: message.to_owned() });
        for (field, rules) in [("egress.private", &self.private), ("egress.deny", &self.deny)] {
            if rules.len() > limits::EGRESS_RULES_MAX {
                return refuse(field, "must have at most 256 rules");
            }
        }
        if self.networks.len() > limits::EGRESS_NETWORKS_MAX {
            return refuse("egress.networks", "must have at most 64 networks");
        }
        let many = |network: &PrivateNetwork| network.targets.len() > limits::EGRESS_RULES_MAX;
        if let Some((name, _)) = self.networks.iter().find(|(_, network)| network.targets.is_empty() || many(network)) {
            return refuse("egress.networks", &format!("must give {name} 1 to 256 rules, such as [\"10.1.0.5:5432\"]"));
        }
        if self.resolvers.len() > 8 {
            return refuse("egress.resolvers", "must have at most 8 name servers");
        }
        for (field, own, projects, most) in [
            ("egress.connections", self.connections, self.project_connections, 1_000_000),
            ("egress.connect_rate", self.connect_rate, self.project_connect_rate, 100_000),
            ("egress.query_rate", self.query_rate, self.project_query_rate, 100_000),
        ] {
            if !(1..=most).contains(&own) || !(own..=most).contains(&projects) {
                let key = field.trim_start_matches("egress.");
                return refuse(
                    field,
                    &format!("must be from 1 to {most}, and egress.project_{key} no less ({projects})"),
                );
            }
        }
        let (own, projects) = (self.bandwidth.bytes(), self.project_bandwidth.bytes());
        for (field, bytes) in [("egress.bandwidth", own), ("egress.project_bandwidth", projects)] {
            if (1..BANDWIDTH_MIN.bytes()).contains(&bytes) {
                return refuse(field, &format!("must be {BANDWIDTH_MIN} a second or more, or 0 for no bound"));
            }
        }
        if projects > 0 && projects < own {
            return refuse("egress.project_bandwidth", "must be no less than egress.bandwidth");
        }
        Ok(())
    }
}

// === impl PrivateNetwork ===

impl<'de> Deserialize<'de> for PrivateNetwork {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            targets: Vec<EgressTarget>,
            projects: Option<Vec<ProjectId>>,
        }

        impl<'de> Visitor<'de> for Forms {
            type Value = PrivateNetwork;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list such as [\"10.1.0.5:5432\"], or a table with `targets` and `projects`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<PrivateNetwork, A::Error> {
                let targets = Vec::deserialize(SeqAccessDeserializer::new(seq))?;
                Ok(PrivateNetwork { targets, projects: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PrivateNetwork, A::Error> {
                let Table { targets, projects } = Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(PrivateNetwork { targets, projects })
            }
        }

        deserializer.deserialize_any(Forms)
    }
}

// === impl SourceAddress ===

impl SourceAddress {
    fn is_unset(&self) -> bool {
        *self == Self::default()
    }
}

impl FromStr for SourceAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut source = Self::default();
        for part in text.split(',').map(str::trim) {
            let is_new = match part.parse::<IpAddr>() {
                Ok(IpAddr::V4(address)) => source.v4.replace(address).is_none(),
                Ok(IpAddr::V6(address)) => source.v6.replace(address).is_none(),
                Err(_) => false,
            };
            if !is_new {
                return Err(format!(
                    "`{text}` is not an address of IPv4, one of IPv6, or both with a comma between, such as 203.0.113.7"
                ));
            }
        }
        Ok(source)
    }
}

impl fmt::Display for SourceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.v4, self.v6) {
            (Some(v4), Some(v6)) => write!(f, "{v4},{v6}"),
            (Some(v4), None) => write!(f, "{v4}"),
            (None, Some(v6)) => write!(f, "{v6}"),
            (None, None) => Ok(()),
        }
    }
}

// === impl ResolverAddress ===

impl FromStr for ResolverAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let alone = || text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53));
        let address = text.parse::<SocketAddr>().or_else(|_| alone()).ok().filter(|address| address.port() > 0);
        address
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not the address of a name server, such as 10.0.0.2 or 127.0.0.1:5353"))
    }
}

impl fmt::Display for ResolverAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! as_text {
    ($($name:ty),+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

as_text!(SourceAddress, ResolverAddress);

#[cfg(test)]
mod tests {
    use super::super::{Flags, ServerConfig};
    use super::*;

    fn load(file: &str, env: &[(&str, &str)]) -> Result<EgressSection, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("server.toml");
        std::fs::write(&path, file).expect("written");
        let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let config = ServerConfig::load(false, Some(&path), env, Flags::default());
        config.map(|config| config.egress).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_and_the_environment_say_what_is_open() {
        let file = "[egress]\nprivate = [\"10.1.0.0/16\"]\nresolvers = [\"127.0.0.1:5353\", \"::1\"]\nquery_rate = 5\n\
                    bandwidth = \"10MB\"\n[egress.networks]\ndb = [\"10.1.0.5:5432\"]\n\
                    cache = { targets = [\"10.1.0.6\"], projects = [\"prj_01ARZ3NDEKTSV4RRFFQ69G5FAV\"] }\n";
        let env = [
            ("FAAS_EGRESS_DENY", "*.evil.example, udp://0.0.0.0/0"),
            ("FAAS_EGRESS_SOURCE_ADDRESS", "203.0.113.7,::7"),
        ];
        let egress = load(file, &env).expect("good");
        let shown = |rules: &[EgressTarget]| rules.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(
            (shown(&egress.private), shown(&egress.deny)),
            ("10.1.0.0/16".into(), "*.evil.example udp://0.0.0.0/0".into())
        );
        let resolvers: Vec<String> = egress.resolvers.iter().map(ToString::to_string).collect();
        assert_eq!((resolvers.join(" "), egress.query_rate), ("127.0.0.1:5353 [::1]:53".into(), 5));
        let networks: Vec<_> =
            egress.networks.iter().map(|(name, one)| (name.as_str(), one.projects.is_some())).collect();
        assert_eq!(networks, [("cache", true), ("db", false)]);
        assert_eq!(egress.source_address.to_string(), "203.0.113.7,::7");
        let env = [("FAAS_EGRESS_PRIVATE", "192.168.0.0/16:443")];
        assert_eq!(shown(&load(file, &env).expect("good").private), "192.168.0.0/16:443", "environment over file");
        assert_eq!((egress.bandwidth, egress.project_bandwidth), (ByteSize::from_mib(10), ByteSize::from_bytes(0)));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_fix() {
        for (file, word) in [
            ("[egress]\nprivate = [\"https://x.example/\"]", "write x.example:443"),
            ("[egress]\nprivat = []", "unknown field `privat`"),
            ("[egress]\nnetworks.db = 5", "a list such as [\"10.1.0.5:5432\"]"),
            ("[egress]\nnetworks.db = []", "must give db 1 to 256 rules"),
            ("[egress]\nnetworks.db = { target = [] }", "unknown field `target`"),
            ("[egress]\nnetworks.Db = [\"10.0.0.1\"]", "not a valid network name"),
            ("[egress]\nresolvers = [\"dns.example\"]", "not the address of a name server"),
            ("[egress]\nsource_address = \"eth0\"", "such as 203.0.113.7"),
            ("[egress]\nconnections = 0", "must be from 1"),
            ("[egress]\nconnect_rate = 5000", "egress.project_connect_rate no less (2000)"),
            ("[egress]\nbandwidth = \"1KB\"", "egress.bandwidth must be 64KB a second or more"),
            ("[egress]\nbandwidth = \"10MB\"\nproject_bandwidth = \"5MB\"", "must be no less than egress.bandwidth"),
        ] {
            let message = load(file, &[]).expect_err(file);
            assert!(message.contains(word), "{file}: {message}");
        }
        let message = load("", &[("FAAS_EGRESS_PRIVATE", "10.1.0.5/16")]).expect_err("bits");
        assert!(message.contains("FAAS_EGRESS_PRIVATE") && message.contains("write 10.1.0.0/16"), "{message}");
    }

    #[test]
    fn a_proxy_is_read_and_its_password_is_in_no_message() {
        let file = "[egress]\nproxy = \"socks5://ops:hunter2@10.0.0.9:1080\"\n";
        let egress = load(file, &[]).expect("good");
        assert_eq!(egress.proxy.map(|proxy| proxy.to_string()).as_deref(), Some("socks5://****@10.0.0.9:1080"));
        let env = [("FAAS_EGRESS_PROXY", "http://[2001:db8::9]:3128")];
        let egress = load(file, &env).expect("good");
        assert_eq!(egress.proxy.map(|proxy| proxy.address().1), Some(3128), "environment over file");
        for bad in ["socks4://ops:hunter2@10.0.0.9:1080", "socks5://ops:hunter2@10.0.0.9"] {
            for message in [
                load(&format!("[egress]\nproxy = \"{bad}\"\n"), &[]).expect_err(bad),
                load("", &[("FAAS_EGRESS_PROXY", bad)]).expect_err(bad),
            ] {
                assert!(message.contains("socks5://HOST:PORT") && !message.contains("hunter2"), "{message}");
            }
        }
    }
}
