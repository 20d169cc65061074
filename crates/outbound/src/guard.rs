//! Which addresses messages may be sent to.

use std::net::IpAddr;
use std::sync::Arc;

use faas_types::{AllowedTarget, EgressPolicy, EgressTarget, Transport};

use crate::{Attempt, HostAddresses, HostView, OpenKey, OperatorRules, Rules, Ruling};

/// What may be sent to.
#[derive(Debug)]
pub struct Guard {
    operator: OperatorRules,
    policy: EgressPolicy,
    host: Arc<HostView>,
}

// === impl Guard ===

impl Default for Guard {
    fn default() -> Self {
        Self::new(&[], Vec::new(), Arc::default())
    }
}

impl Guard {
    /// The public internet, and what an operator allows, but for what the operator denies everybody.
    #[must_use]
    pub fn new(allowed: &[AllowedTarget], deny: Vec<EgressTarget>, host: Arc<HostView>) -> Self {
        let open = allowed.iter().map(EgressTarget::from).collect();
        let operator = OperatorRules { deny, open, networks: Vec::new(), open_key: OpenKey::Callbacks };
        Self { operator, policy: EgressPolicy::default(), host }
    }

    /// Whether an address may be sent to at a port, under the name that led to it.
    #[must_use]
    pub fn rule(&self, address: IpAddr, port: u16, name: Option<&str>) -> Ruling {
        self.rule_on(&self.host.known(), address, port, name)
    }

    /// Whether an address may be worth a try at a port: unknown properties of this machine count as present.
    #[must_use]
    pub fn might_let(&self, address: IpAddr, port: u16) -> bool {
        let known = self.host.known();
        let nat64 = Some(known.nat64.clone().unwrap_or_default());
        self.rule_on(&HostAddresses { nat64, ..(*known).clone() }, address, port, None).allowed
    }

    fn rule_on(&self, host: &HostAddresses, address: IpAddr, port: u16, name: Option<&str>) -> Ruling {
        let name = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let rules = Rules { operator: &self.operator, policy: &self.policy, project: None, host };
        rules.rule(&Attempt { transport: Transport::Tcp, address, port: Some(port), names: name.as_slice() })
    }

    /// Learns what rulings have to know of this machine.
    pub(crate) async fn refresh(&self) {
        self.host.refresh().await;
    }

    #[cfg(test)]
    pub(crate) fn on(self, host: HostAddresses) -> Self {
        Self { host: HostView::fixed(host), ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::shut::shut;

    fn is_public(address: IpAddr) -> bool {
        shut(address, &HostAddresses::default()).is_none()
    }

    fn lets(address: &str) -> bool {
        let guard = Guard::default().on(HostAddresses::default());
        guard.rule(address.parse().expect(address), 443, None).allowed
    }

    #[test]
    fn networks_that_are_routed_to_the_server_are_shut() {
        let network = |text: &str, bits| crate::LocalNetwork { address: text.parse().expect(text), bits };
        let routed = vec![network("45.99.0.0", 24), network("2a01:4f8:1::", 128)];
        let host = HostAddresses { routed, nat64: Some(Vec::new()), ..HostAddresses::default() };
        let open = ["45.0.0.0/8".parse().expect("a network"), "2a01:4f8:1::".parse().expect("an address")];
        for (allowed, lets) in [(&open[..0], [false, false, true]), (&open, [false, true, true])] {
            let guard = Guard::new(allowed, Vec::new(), Arc::default()).on(host.clone());
            let ruled = ["45.99.0.5", "2a01:4f8:1::", "45.99.1.5"]
                .map(|address| guard.rule(address.parse().expect(address), 443, None).allowed);
            assert_eq!(ruled, lets, "a network opens none of them by chance");
        }
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
            "161.26.0.7",
            "166.11.255.255",
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
        let deny = ["10.6.6.6", "10.1.1.1:25", "tcp://8.8.8.8:8080-8090"].map(|text| text.parse().expect(text));
        let guard = Guard::new(&allowed, deny.to_vec(), Arc::default());
        let lets = |address: &str, port| guard.rule(address.parse().expect(address), port, None).allowed;
        assert!(lets("10.1.1.1", 443) && lets("::1", 443) && !lets("127.0.0.1", 443));
        let named = |name| guard.rule("192.168.1.1".parse().expect("an address"), 443, Some(name)).allowed;
        assert!(named("Hooks.internal.") && !named("internal"));
        assert!(!lets("10.6.6.6", 443), "what is denied stays so");
        assert!(!lets("10.1.1.1", 25) && !lets("8.8.8.8", 8085) && lets("8.8.8.8", 8091), "at its port");
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
