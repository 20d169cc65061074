//! Addresses that are not the public internet. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::HostAddresses;

/// Networks of IPv4 that are not the public internet: the special-purpose registry of IANA (RFC 6890 and its updates),
/// multicast and what is reserved. The first that takes an address in names it.
const SHUT_4: [(Ipv4Addr, u32, &str); 22] = [
    (Ipv4Addr::new(169, 254, 169, 254), 32, "metadata service of the cloud"),
    (Ipv4Addr::new(169, 254, 170, 2), 32, "metadata service of the cloud"),
    // The platform's own services of a large cloud, reached by every machine in it.
    (Ipv4Addr::new(168, 63, 129, 16), 32, "metadata service of the cloud"),
    (Ipv4Addr::new(100, 100, 100, 200), 32, "metadata service of the cloud"),
    // Public by number, but routed to a cloud's own services from within it alone (IBM Cloud, "IBM Cloud IP ranges").
    (Ipv4Addr::new(161, 26, 0, 0), 16, "private services of the cloud 161.26.0.0/16"),
    (Ipv4Addr::new(166, 8, 0, 0), 14, "private services of the cloud 166.8.0.0/14"),
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this host, 0.0.0.0/8"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private network 10.0.0.0/8"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "provider's network 100.64.0.0/10"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback 127.0.0.0/8"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local network 169.254.0.0/16"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private network 172.16.0.0/12"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignments 192.0.0.0/24"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation network 192.0.2.0/24"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relay 192.88.99.0/24"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private network 192.168.0.0/16"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking network 198.18.0.0/15"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation network 198.51.100.0/24"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation network 203.0.113.0/24"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast 224.0.0.0/4"),
    (Ipv4Addr::BROADCAST, 32, "broadcast 255.255.255.255"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved network 240.0.0.0/4"),
];

/// Networks of IPv6 that are not the public internet, or lead to IPv4. Outside of 2000::/3 nothing is public.
const SHUT_6: [(Ipv6Addr, u32, &str); 18] = [
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128, "metadata service of the cloud"),
    (Ipv6Addr::UNSPECIFIED, 128, "this host, ::"),
    (Ipv6Addr::LOCALHOST, 128, "loopback ::1"),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, "mapped address of IPv4, ::ffff:0:0/96"),
    (Ipv6Addr::UNSPECIFIED, 96, "compatible address of IPv4, ::/96"),
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, "translated address of IPv4, 64:ff9b::/96"),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "translated address of IPv4, 64:ff9b:1::/48"),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64, "discarded addresses 100::/64"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, "Teredo 2001::/32"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "protocol assignments 2001::/23"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "documentation network 2001:db8::/32"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4 2002::/16"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "documentation network 3fff::/20"),
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16, "segment routing 5f00::/16"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "private network fc00::/7"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local network fe80::/10"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "site-local network fec0::/10"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast ff00::/8"),
];

/// Any address of IPv6 may lead to one of IPv4, before the site's own translation is known.
const UNCERTAIN: &str =
    "it may be a translated address of IPv4, as no name server has said yet how this site translates";

/// What an address is instead of the public internet; `None` for the public internet.
pub(crate) fn shut(address: IpAddr, host: &HostAddresses) -> Option<&'static str> {
    let special = match address {
        IpAddr::V4(address) => {
            let of = |(network, bits, _): &&(Ipv4Addr, u32, &str)| {
                (address.to_bits() ^ network.to_bits()).checked_shr(Ipv4Addr::BITS - bits).unwrap_or(0) == 0
            };
            SHUT_4.iter().find(of).map(|(_, _, what)| *what)
        }
        IpAddr::V6(address) => {
            let of = |network: Ipv6Addr, bits: u32| {
                (address.to_bits() ^ network.to_bits()).checked_shr(Ipv6Addr::BITS - bits).unwrap_or(0) == 0
            };
            let found = SHUT_6.iter().find(|(network, bits, _)| of(*network, *bits)).map(|(_, _, what)| *what);
            let global = of(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
            let translated = host.nat64.iter().flatten().any(|prefix| prefix.embedded(address).is_some());
            found
                .or((!global).then_some("network outside of 2000::/3"))
                .or(translated.then_some("translated address of IPv4 of this site"))
        }
    };
    let is_uncertain = address.is_ipv6() && host.has_ipv6 && host.nat64.is_none();
    // Loopback keeps its own name.
    special.or(host.is_own(address).then_some("address of this server")).or(is_uncertain.then_some(UNCERTAIN))
}

/// The address of IPv4 that packets to an address of IPv6 end at, by whatever translation.
pub(crate) fn embedded(address: IpAddr, host: &HostAddresses) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    let low = || Ipv4Addr::from_bits((address.to_bits() & u128::from(u32::MAX)) as u32);
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] if address != Ipv6Addr::UNSPECIFIED && address != Ipv6Addr::LOCALHOST => {
            Some(low())
        }
        [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0 | 1, ..] => Some(low()),
        [0x2002, high, next, ..] => Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(next))),
        // Teredo writes its client's address with all bits turned.
        [0x2001, 0, ..] => Some(Ipv4Addr::from_bits(!low().to_bits())),
        _ => host.nat64.iter().flatten().find_map(|prefix| prefix.embedded(address)),
    }
}
