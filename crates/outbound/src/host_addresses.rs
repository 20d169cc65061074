//! The addresses of this machine, and how its site translates IPv4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long what was read counts: addresses come and go with interfaces.
const FRESH: Duration = Duration::from_secs(5);
/// What `ipv4only.arpa` leads to (RFC 7050).
const WELL_KNOWN: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];

/// What a ruling has to know of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostAddresses {
    /// The addresses of all its interfaces.
    pub own: Vec<IpAddr>,
    /// Networks of IPv6 that lead to IPv4 at this site, besides those that everybody knows.
    pub nat64: Vec<Nat64Prefix>,
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

/// Reads the machine's addresses again where they are old.
#[derive(Debug, Default)]
pub struct HostView {
    nat64: Mutex<Vec<Nat64Prefix>>,
    read: Mutex<Option<(Instant, Arc<HostAddresses>)>>,
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

// === impl HostView ===

impl HostView {
    /// A view that never changes.
    #[cfg(test)]
    pub(crate) fn fixed(addresses: HostAddresses) -> Self {
        let far = Instant::now() + Duration::from_secs(3_600);
        Self { nat64: Mutex::default(), read: Mutex::new(Some((far, Arc::new(addresses)))) }
    }

    /// What holds now.
    pub fn now(&self) -> Arc<HostAddresses> {
        let mut read = self.read.lock();
        if let Some((at, addresses)) = &*read
            && at.elapsed() < FRESH
        {
            return Arc::clone(addresses);
        }
        let own = interfaces();
        let has_ipv6 = own.iter().any(|address| match address {
            IpAddr::V6(address) => address.segments()[0] & 0xe000 == 0x2000 || address.is_unique_local(),
            IpAddr::V4(_) => false,
        });
        let addresses = Arc::new(HostAddresses { own, nat64: self.nat64.lock().clone(), has_ipv6 });
        *read = Some((Instant::now(), Arc::clone(&addresses)));
        addresses
    }

    /// Remembers how the site translates IPv4.
    pub fn translates(&self, prefixes: Vec<Nat64Prefix>) {
        *self.nat64.lock() = prefixes;
        *self.read.lock() = None;
    }
}

/// The addresses of all interfaces; none where they cannot be read. What is not public stays shut all the same.
fn interfaces() -> Vec<IpAddr> {
    let Ok(all) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let addresses = all.filter_map(|interface| interface.address);
    addresses
        .filter_map(|address| {
            let v4 = address.as_sockaddr_in().map(|own| IpAddr::V4(own.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|own| IpAddr::V6(own.ip())))
        })
        .collect()
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

    #[test]
    fn the_machine_knows_its_loopback() {
        let view = HostView::default();
        assert!(view.now().own.contains(&Ipv4Addr::LOCALHOST.into()), "{:?}", view.now());
    }
}
