//! What a ruling has to know of this machine: its addresses, and how its site translates IPv4. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::LocalNetwork;

/// What `ipv4only.arpa` leads to (RFC 7050).
const WELL_KNOWN: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];

/// What a ruling has to know of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostAddresses {
    /// The addresses of all its interfaces.
    pub own: Vec<IpAddr>,
    /// Networks whose packets end at it as well.
    pub routed: Vec<LocalNetwork>,
    /// Networks of IPv6 that lead to IPv4 at this site, besides those that everybody knows; `None` before a name server
    /// has said so.
    pub nat64: Option<Vec<Nat64Prefix>>,
    /// Whether it has an address of IPv6 that leads out.
    pub has_ipv6: bool,
}

/// A network of IPv6 whose addresses hold one of IPv4 (RFC 6052).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat64Prefix {
    network: Ipv6Addr,
    /// 32, 40, 48, 56, 64 or 96.
    bits: u8,
}

// === impl HostAddresses ===

impl HostAddresses {
    /// Whether packets to an address end at this machine.
    #[must_use]
    pub fn is_own(&self, address: IpAddr) -> bool {
        self.own.contains(&address) || self.routed.iter().any(|network| network.holds(address))
    }
}

// === impl Nat64Prefix ===

impl Nat64Prefix {
    /// The network of an address that `ipv4only.arpa` has at this site.
    #[must_use]
    pub fn found(answer: Ipv6Addr) -> Option<Self> {
        [96, 64, 56, 48, 40, 32].into_iter().find_map(|bits| {
            let mask = u128::MAX << (128 - u32::from(bits));
            let prefix = Self { network: (answer.to_bits() & mask).into(), bits };
            prefix.embedded(answer).filter(|inside| WELL_KNOWN.contains(inside)).map(|_| prefix)
        })
    }

    /// The address of IPv4 in one of its addresses.
    #[must_use]
    pub fn embedded(self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        if (address.to_bits() ^ self.network.to_bits()) >> (128 - u32::from(self.bits)) != 0 {
            return None;
        }
        let octets = address.octets();
        // Bits 64 to 71 hold nothing.
        let mut after = octets.iter().enumerate().skip(usize::from(self.bits / 8)).filter(|(at, _)| *at != 8);
        let mut next = || after.next().map(|(_, octet)| *octet);
        Some(Ipv4Addr::new(next()?, next()?, next()?, next()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sites_translation_is_found_from_what_ipv4only_arpa_has() {
        for (answer, other) in [
            ("2a00:1:2:3:4:5:c000:aa", "2a00:1:2:3:4:5:a01:203"),
            ("2a00:1:2:3:c0:0:aa00:0", "2a00:1:2:3:a:102:300:0"),
            ("2a00:1:2:3c0:0:aa:0:0", "2a00:1:2:30a:1:203:0:0"),
            ("2a00:1:2:c000:0:aa00:0:0", "2a00:1:2:a01:2:300::"),
            ("2a00:1:c0:0:aa::", "2a00:1:a:102:3::"),
            ("2a00:1:c000:aa::", "2a00:1:a01:203::"),
        ] {
            let prefix = Nat64Prefix::found(answer.parse().expect(answer)).expect(answer);
            assert_eq!(prefix.embedded(other.parse().expect(other)), Some(Ipv4Addr::new(10, 1, 2, 3)), "{prefix:?}");
            assert_eq!(prefix.embedded(Ipv6Addr::LOCALHOST), None);
        }
        assert_eq!(Nat64Prefix::found("2a00::1".parse().expect("an address")), None);
    }
}
