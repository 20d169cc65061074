//! Whom a server may send to although the address is none of the public internet's.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A network or a host name that an operator lets a server send to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AllowedTarget {
    /// Every address that begins with these bits.
    Network {
        /// Any address of it.
        address: IpAddr,
        /// How many bits count.
        bits: u8,
    },
    /// Whatever this name resolves to; in lower case, without a dot at the end.
    Host(String),
}

/// A text that names neither a network nor a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a network such as 10.0.0.0/8, nor an address, nor a host name")]
pub struct InvalidTarget(String);

// === impl AllowedTarget ===

impl AllowedTarget {
    /// Whether it takes in an address.
    #[must_use]
    pub fn has_address(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Network { address: IpAddr::V4(own), bits }, IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(*bits)).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            (Self::Network { address: IpAddr::V6(own), bits }, IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(*bits)).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            _ => false,
        }
    }

    /// Whether it is this host's name.
    #[must_use]
    pub fn has_host(&self, host: &str) -> bool {
        matches!(self, Self::Host(own) if own.eq_ignore_ascii_case(host.trim_end_matches('.')))
    }
}

impl FromStr for AllowedTarget {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let invalid = || InvalidTarget(text.chars().take(100).collect());
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = address.parse().map_err(|_| invalid())?;
            let most = if address.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS };
            let bits: u8 = bits.parse().map_err(|_| invalid())?;
            return if u32::from(bits) <= most { Ok(Self::Network { address, bits }) } else { Err(invalid()) };
        }
        match text.parse::<IpAddr>() {
            Ok(address @ IpAddr::V4(_)) => Ok(Self::Network { address, bits: 32 }),
            Ok(address @ IpAddr::V6(_)) => Ok(Self::Network { address, bits: 128 }),
            Err(_) => {
                let host = text.trim_end_matches('.').to_ascii_lowercase();
                let is_name = |part: &str| {
                    (1..=63).contains(&part.len())
                        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
                };
                // What ends in a number is a mistyped address.
                let is_number = host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
                let is_host = host.len() <= 253 && host.split('.').all(is_name) && !is_number;
                if is_host { Ok(Self::Host(host)) } else { Err(invalid()) }
            }
        }
    }
}

impl fmt::Display for AllowedTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { address, bits } => write!(f, "{address}/{bits}"),
            Self::Host(host) => f.write_str(host),
        }
    }
}

impl TryFrom<String> for AllowedTarget {
    type Error = InvalidTarget;

    fn try_from(text: String) -> Result<Self, InvalidTarget> {
        text.parse()
    }
}

impl From<AllowedTarget> for String {
    fn from(target: AllowedTarget) -> Self {
        target.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> AllowedTarget {
        text.parse().expect(text)
    }

    #[test]
    fn networks_take_in_their_addresses_only() {
        let has = |network: &str, address: &str| target(network).has_address(address.parse().expect(address));
        assert!(has("10.0.0.0/8", "10.255.1.2") && !has("10.0.0.0/8", "11.0.0.0"));
        assert!(has("127.0.0.1", "127.0.0.1") && !has("127.0.0.1", "127.0.0.2"));
        assert!(has("0.0.0.0/0", "8.8.8.8") && !has("0.0.0.0/0", "::1"));
        assert!(has("fd00::/8", "fd12::1") && !has("fd00::/8", "fe80::1"));
        assert!(has("::/0", "::1") && !has("::/0", "127.0.0.1"));
        assert!(!has("127.0.0.0/8", "::ffff:127.0.0.1"), "a mapped address is none of IPv4's");
    }

    #[test]
    fn hosts_are_names_whatever_their_case() {
        assert!(target("Hooks.Internal.").has_host("hooks.internal"));
        assert!(!target("internal").has_host("hooks.internal"));
        assert!(!target("localhost").has_address(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "10.0.0", "::/129", "http://x", "a b", "*.x", "x/y", ".x"] {
            assert!(wrong.parse::<AllowedTarget>().is_err(), "{wrong}");
        }
        for text in ["10.0.0.0/8", "fd00::/8", "hooks.internal"] {
            assert_eq!(target(text).to_string(), text);
        }
    }
}
