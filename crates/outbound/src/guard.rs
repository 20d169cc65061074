//! Which addresses may be sent to. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use faas_types::AllowedTarget;

/// Networks of IPv4 that are not the public internet: the special-purpose registry of IANA (RFC 6890 and its updates),
/// multicast and what is reserved.
const NOT_PUBLIC_4: [(Ipv4Addr, u32); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
    // The platform's own services of a large cloud, reached by every machine in it.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
];

/// Parts of 2000::/3 that are not the public internet, or lead to IPv4: protocol assignments with Teredo, documentation,
/// 6to4. Outside of 2000::/3 nothing is public: loopback, mapped and translated IPv4, local and multicast addresses.
const NOT_PUBLIC_6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// What may be sent to.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    allowed: Vec<AllowedTarget>,
}

// === impl Guard ===

impl Guard {
    /// The public internet, and what an operator allows.
    #[must_use]
    pub fn new(allowed: Vec<AllowedTarget>) -> Self {
        Self { allowed }
    }

    /// Whether an address may be sent to.
    #[must_use]
    pub fn lets(&self, address: IpAddr) -> bool {
        is_public(address) || self.allowed.iter().any(|target| target.has_address(address))
    }

    /// Whether this name may be sent to, whatever its address is.
    #[must_use]
    pub fn lets_host(&self, host: &str) -> bool {
        self.allowed.iter().any(|target| target.has_host(host))
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let begins = |(network, bits): &(Ipv4Addr, u32)| {
                let host = Ipv4Addr::BITS - bits;
                (address.to_bits() ^ network.to_bits()).checked_shr(host).unwrap_or(0) == 0
            };
            !NOT_PUBLIC_4.iter().any(begins)
        }
        IpAddr::V6(address) => {
            let begins = |(network, bits): &(Ipv6Addr, u32)| {
                (address.to_bits() ^ network.to_bits()).checked_shr(Ipv6Addr::BITS - bits).unwrap_or(0) == 0
            };
            let is_global = begins(&(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3));
            is_global && !NOT_PUBLIC_6.iter().any(begins)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lets(address: &str) -> bool {
        Guard::default().lets(address.parse().expect(address))
    }

    #[test]
    fn only_the_public_internet_is_let() {
        for public in ["8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "223.255.255.255"]
        {
            assert!(lets(public), "{public}");
        }
        for public in ["2606:4700::1111", "2a00:1450::1", "2001:4860::8888", "2003::1"] {
            assert!(lets(public), "{public}");
        }
        for inside in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "203.0.113.9",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
        ] {
            assert!(!lets(inside), "{inside}");
        }
        for inside in [
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!lets(inside), "{inside}");
        }
    }

    #[test]
    fn an_operator_lets_more() {
        let allowed = ["10.0.0.0/8", "::1", "hooks.internal"].map(|text| text.parse().expect(text));
        let guard = Guard::new(allowed.into());
        assert!(guard.lets("10.1.1.1".parse().expect("an address")));
        assert!(guard.lets("::1".parse().expect("an address")));
        assert!(!guard.lets("127.0.0.1".parse().expect("an address")));
        assert!(guard.lets_host("hooks.internal") && !guard.lets_host("internal"));
    }

    proptest! {
        #[test]
        fn what_the_standard_library_calls_special_is_not_public(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            let special = address.is_private() || address.is_loopback() || address.is_link_local()
                || address.is_multicast() || address.is_broadcast() || address.is_unspecified()
                || address.is_documentation();
            prop_assert!(!(special && is_public(address.into())));
            prop_assert!(!is_public(address.to_ipv6_mapped().into()));
            prop_assert!(!is_public(address.to_ipv6_compatible().into()));
        }

        #[test]
        fn local_addresses_of_ipv6_are_not_public(bits: u128) {
            let address = Ipv6Addr::from_bits(bits);
            let special = address.is_unique_local() || address.is_unicast_link_local() || address.is_multicast()
                || address.is_loopback() || address.is_unspecified();
            prop_assert!(!(special && is_public(address.into())));
        }
    }
}
