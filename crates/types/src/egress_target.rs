//! One rule of what a sandbox may connect to.

mod parse;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::AllowedTarget;
use crate::text_form::text_form;

pub use parse::InvalidEgressTarget;

/// What a connection is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

/// One rule: hosts, ports and protocols, such as `api.stripe.com:443`, `*.example.com`, `10.1.0.0/16:5432`,
/// `udp://192.0.2.7:5000-5010` or `[2001:db8::7]:443`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EgressTarget {
    /// `None` stands for every protocol.
    pub transport: Option<Transport>,
    /// The hosts.
    pub host: EgressHost,
    /// `None` stands for every port.
    pub ports: Option<PortRange>,
}

/// The hosts of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EgressHost {
    /// One name; in lower case, without a dot at the end.
    Name(String),
    /// Every name that ends in a dot and this one, without the name itself.
    Below(String),
    /// Every address that begins with these bits; the others are zero.
    Network {
        /// The first address.
        address: IpAddr,
        /// How many bits count.
        bits: u8,
    },
}

/// Ports from the first to the last, both included; neither is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

// === impl EgressTarget ===

impl EgressTarget {
    /// Whether it stands for this protocol.
    #[must_use]
    pub fn has_transport(&self, transport: Transport) -> bool {
        self.transport.is_none_or(|own| own == transport)
    }

    /// Whether it stands for this port.
    #[must_use]
    pub fn has_port(&self, port: u16) -> bool {
        self.ports.is_none_or(|ports| (ports.first..=ports.last).contains(&port))
    }

    /// Whether it stands for hosts by name.
    #[must_use]
    pub fn is_by_name(&self) -> bool {
        !matches!(self.host, EgressHost::Network { .. })
    }
}

impl fmt::Display for EgressTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(transport) = self.transport {
            write!(f, "{transport}://")?;
        }
        match (&self.host, self.ports) {
            (EgressHost::Network { address: IpAddr::V6(_), .. }, Some(ports)) => write!(f, "[{}]:{ports}", self.host),
            (host, Some(ports)) => write!(f, "{host}:{ports}"),
            (host, None) => write!(f, "{host}"),
        }
    }
}

text_form!(EgressTarget);

/// Every port and protocol of what an operator lets a server send to.
impl From<&AllowedTarget> for EgressTarget {
    fn from(allowed: &AllowedTarget) -> Self {
        let host = match allowed {
            AllowedTarget::Network { address, bits } => EgressHost::network(*address, *bits),
            AllowedTarget::Host(host) => EgressHost::Name(host.clone()),
        };
        Self { transport: None, host, ports: None }
    }
}

// === impl EgressHost ===

impl EgressHost {
    /// The network of these first bits of an address; bits that the address does not have count as all.
    #[must_use]
    pub fn network(address: IpAddr, bits: u8) -> Self {
        let (most, address) = match address {
            IpAddr::V4(own) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
                (32, IpAddr::V4((own.to_bits() & mask).into()))
            }
            IpAddr::V6(own) => (128, IpAddr::V6(masked(own, bits.min(128)))),
        };
        Self::Network { address, bits: bits.min(most) }
    }

    /// Whether it is a network that takes in this address.
    #[must_use]
    pub fn has_address(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Network { address: IpAddr::V4(own), bits }, IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(*bits)).unwrap_or(0);
                own.to_bits() == other.to_bits() & mask
            }
            (Self::Network { address: IpAddr::V6(own), bits }, IpAddr::V6(other)) => *own == masked(other, *bits),
            _ => false,
        }
    }

    /// Whether it is the machine that asks: `localhost` and addresses of loopback.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) | Self::Below(name) => name == "localhost" || name.ends_with(".localhost"),
            Self::Network { address: IpAddr::V4(address), bits } => address.is_loopback() && *bits >= 8,
            Self::Network { address: IpAddr::V6(address), bits } => address.is_loopback() && *bits == 128,
        }
    }

    /// Whether it takes in this name, which is in lower case and has no dot at its end.
    #[must_use]
    pub fn has_name(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Below(parent) => name.strip_suffix(parent.as_str()).is_some_and(|front| front.ends_with('.')),
            Self::Network { .. } => false,
        }
    }
}

fn masked(address: Ipv6Addr, bits: u8) -> Ipv6Addr {
    (address.to_bits() & u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)).into()
}

impl fmt::Display for EgressHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Below(parent) => write!(f, "*.{parent}"),
            Self::Network { address: address @ IpAddr::V4(_), bits: 32 }
            | Self::Network { address: address @ IpAddr::V6(_), bits: 128 } => write!(f, "{address}"),
            Self::Network { address, bits } => write!(f, "{address}/{bits}"),
        }
    }
}

// === impl PortRange ===

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last } = self;
        if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
    }
}

// === impl Transport ===

impl Transport {
    /// Its name, as rules write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> EgressTarget {
        text.parse().expect(text)
    }

    #[test]
    fn hosts_take_in_names_and_addresses() {
        let has = |text: &str, address: &str| target(text).host.has_address(address.parse().expect(address));
        assert!(has("10.1.0.0/16", "10.1.255.9") && !has("10.1.0.0/16", "10.2.0.0"));
        assert!(has("0.0.0.0/0", "8.8.8.8") && !has("0.0.0.0/0", "::1"));
        assert!(has("192.0.2.7:80", "192.0.2.7") && !has("192.0.2.7:80", "192.0.2.8"));
        assert!(has("[2001:db8::/32]:443", "2001:db8:1::1") && !has("2001:db8::/32", "2001:db9::1"));
        assert!(has("::/0", "::1") && !has("::/0", "127.0.0.1"));
        assert!(!has("10.0.0.0/8", "::ffff:10.0.0.1"), "a mapped address is an address of IPv6");
        let names = |text: &str, name: &str| target(text).host.has_name(name);
        assert!(names("API.Stripe.com.:443", "api.stripe.com") && !names("api.stripe.com", "x.api.stripe.com"));
        assert!(names("*.example.com", "a.b.example.com") && !names("*.example.com", "example.com"));
        assert!(!names("*.example.com", "badexample.com") && !names("*.example.com", ".example.com.evil.net"));
    }

    #[test]
    fn ports_and_protocols_narrow_a_rule() {
        let rule = target("udp://192.0.2.7:5000-5010");
        assert!(rule.has_transport(Transport::Udp) && !rule.has_transport(Transport::Tcp));
        assert!(rule.has_port(5000) && rule.has_port(5010) && !rule.has_port(5011));
        let rule = target("a.example");
        assert!(rule.has_transport(Transport::Tcp) && rule.has_transport(Transport::Udp) && rule.has_port(1));
    }

    #[test]
    fn what_an_operator_allows_is_a_rule_too() {
        for (text, wanted) in [("10.1.2.3/8", "10.0.0.0/8"), ("::1", "::1"), ("Hooks.internal", "hooks.internal")] {
            let allowed: AllowedTarget = text.parse().expect(text);
            assert_eq!(EgressTarget::from(&allowed).to_string(), wanted);
        }
    }
}
