//! The matrix: every form of an address, for functions, builds and callbacks alike.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use faas_types::{AllowedTarget, EgressPolicy, EgressTarget, IndexHost, Transport};
use proptest::prelude::*;

use super::*;
use crate::{Guard, IndexEgress, Nat64Prefix, Operator, Remedy};

fn targets(list: &[&str]) -> Vec<EgressTarget> {
    list.iter().map(|text| text.parse().expect(text)).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

/// A machine at 203.0.112.9 whose site translates IPv4 below 2a00:64::/96.
fn host() -> HostAddresses {
    let nat64 = Nat64Prefix::found("2a00:64::192.0.0.170".parse::<Ipv6Addr>().expect("an address"));
    let own = ["127.0.0.1", "203.0.112.9", "10.9.0.1", "2a00:1::9"].map(ip).to_vec();
    HostAddresses { own, routed: Vec::new(), nat64: Some(nat64.into_iter().collect()), has_ipv6: true }
}

fn policy(allow: Option<&[&str]>, deny: &[&str]) -> EgressPolicy {
    EgressPolicy {
        allow: allow.map(targets),
        deny: targets(deny),
        networks: vec!["db".parse().expect("a name")],
        ..EgressPolicy::default()
    }
}

fn operator(open: &[&str], deny: &[&str], networks: &[&str]) -> OperatorRules {
    let network = GrantedNetwork { name: "db".parse().expect("a name"), targets: targets(networks), projects: None };
    OperatorRules { deny: targets(deny), open: targets(open), networks: vec![network], open_key: OpenKey::Private }
}

fn ruled(
    operator: &OperatorRules,
    policy: &EgressPolicy,
    transport: Transport,
    to: (&str, u16),
    names: &[&str],
) -> Ruling {
    let (host, project) = (host(), Some("prj_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().expect("an id")));
    let rules = Rules { operator, policy, project, host: &host };
    rules.rule(&Attempt { transport, address: ip(to.0), port: Some(to.1), names })
}

/// Addresses that are not the public internet, with a word of the rule that shuts them.
fn shut_addresses() -> Vec<(&'static str, &'static str)> {
    let here = [
        ("203.0.112.9", "address of this server"),
        ("2a00:1::9", "address of this server"),
        ("2a00:64::10.0.0.1", "translated address of IPv4 of this site"),
    ];
    let lines = include_str!("../../tests/shut_addresses.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).chain(here).collect()
}

const PUBLIC: [&str; 9] = [
    "8.8.8.8",
    "172.15.0.1",
    "172.32.0.1",
    "100.128.0.1",
    "192.0.1.1",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450::1",
    "2003::1",
];

#[test]
fn what_is_not_public_is_shut_for_functions_builds_and_callbacks() {
    let (no_list, all) = (EgressPolicy::default(), policy(Some(&["0.0.0.0/0", "::/0", "x.example"]), &[]));
    let remedy = || Remedy { allowed: Vec::new(), operator: Operator::OfServer };
    let index: IndexHost = "x.example:443".parse().expect("a host");
    let builds = IndexEgress::new(vec![vec![index]], &[], Vec::new(), remedy(), Default::default()).on(host());
    let callbacks = Guard::default().on(host());
    for (address, word) in shut_addresses() {
        for transport in [Transport::Tcp, Transport::Udp] {
            for (policy, names) in
                [(&no_list, &[][..]), (&no_list, &["x.example"]), (&all, &[]), (&all, &["x.example"])]
            {
                let ruling = ruled(&OperatorRules::default(), policy, transport, (address, 443), names);
                let is_shut = matches!(&ruling.rule, Rule::Shut(what) if what.contains(word));
                assert!(!ruling.allowed && is_shut, "{transport} {address} by {names:?}: {ruling:?}");
                assert_eq!(ruling.key, "egress.private in the server's configuration");
            }
        }
        let of_others = [
            (builds.rule("x.example", ip(address), 443), "build.allow in the server's configuration"),
            (callbacks.rule(ip(address), 443, None), "callbacks.allow in the server's configuration"),
            (callbacks.rule(ip(address), 443, Some("x.example")), "callbacks.allow in the server's configuration"),
        ];
        for (ruling, key) in of_others {
            let is_shut = matches!(&ruling.rule, Rule::Shut(what) if what.contains(word));
            assert!(!ruling.allowed && is_shut && ruling.key == key, "{address}: {ruling:?}");
        }
    }
    for address in PUBLIC {
        assert!(
            ruled(&OperatorRules::default(), &no_list, Transport::Tcp, (address, 1), &["x.example"]).allowed,
            "{address}"
        );
        assert!(
            builds.rule("x.example", ip(address), 443).allowed && callbacks.rule(ip(address), 443, None).allowed,
            "{address}"
        );
        assert_eq!(builds.rule("x.example", ip(address), 22).rule, Rule::Unlisted, "{address}");
        assert_eq!(builds.rule("y.example", ip(address), 443).rule, Rule::Unlisted, "{address}");
    }
}

#[test]
fn an_operator_opens_exactly_what_is_named() {
    let none = EgressPolicy::default();
    let open = |rules: &[&str], address: &str, port: u16, names: &[&str]| {
        ruled(&operator(rules, &[], &[]), &none, Transport::Tcp, (address, port), names).allowed
    };
    assert!(open(&["10.1.0.0/16:5432"], "10.1.2.3", 5432, &[]));
    assert!(!open(&["10.1.0.0/16:5432"], "10.1.2.3", 22, &[]) && !open(&["10.1.0.0/16:5432"], "10.2.0.1", 5432, &[]));
    assert!(!open(&["udp://10.1.0.0/16"], "10.1.2.3", 53, &[]), "another protocol");
    assert!(
        open(&["db.internal"], "10.1.2.3", 5432, &["db.internal"]) && !open(&["db.internal"], "10.1.2.3", 5432, &[])
    );
    assert!(open(&["127.0.0.0/8"], "127.0.0.1", 80, &[]) && open(&["::1"], "::1", 80, &[]));
    for (rule, own) in [("0.0.0.0/0", "127.0.0.1"), ("126.0.0.0/7", "127.1.2.3"), ("::/0", "::1"), ("::/64", "::1")] {
        assert!(!open(&[rule], own, 80, &[]), "{rule} is not meant to open {own}");
    }
    // The server's own address is named itself, or stays shut.
    assert!(!open(&["10.0.0.0/8"], "10.9.0.1", 8080, &[]) && open(&["10.0.0.0/8"], "10.9.0.2", 8080, &[]));
    assert!(open(&["10.9.0.1:8080"], "10.9.0.1", 8080, &[]));
    assert!(!open(&["0.0.0.0/0"], "203.0.112.9", 443, &[]) && open(&["203.0.112.9"], "203.0.112.9", 443, &[]));
    // Another form of an address opens only together with what it leads to.
    assert!(
        !open(&["64:ff9b::/96"], "64:ff9b::10.1.2.3", 80, &[]) && open(&["64:ff9b::/96"], "64:ff9b::8.8.8.8", 80, &[])
    );
    assert!(open(&["64:ff9b::/96", "10.1.2.3"], "64:ff9b::10.1.2.3", 80, &[]));
    assert!(!open(&["10.0.0.0/8"], "::ffff:10.1.2.3", 80, &[]) && !open(&["2002::/16"], "2002:7f00:1::", 80, &[]));
    assert!(!open(&["2a00:64::/96"], "2a00:64::127.0.0.1", 80, &[]));
    let allowed: AllowedTarget = "10.0.0.0/8".parse().expect("a network");
    let callbacks = Guard::new(&[allowed], targets(&["10.6.0.0/16"]), Default::default()).on(host());
    let lets = |address: &str| callbacks.rule(ip(address), 443, None).allowed;
    assert!(lets("10.1.2.3") && !lets("10.9.0.1") && !lets("10.6.0.1"));
}

#[test]
fn deny_wins_over_everything_and_the_operators_over_the_functions() {
    let deny = |operator_deny: &[&str], function_deny: &[&str], to: (&str, u16), names: &[&str]| {
        let operator = operator(&["10.0.0.0/8", "64:ff9b::/96"], operator_deny, &[]);
        let policy = policy(Some(&["0.0.0.0/0", "::/0", "*.example"]), function_deny);
        ruled(&operator, &policy, Transport::Tcp, to, names)
    };
    assert!(deny(&[], &[], ("10.1.2.3", 80), &[]).allowed);
    let ruling = deny(&["10.1.0.0/16"], &["10.1.2.3"], ("10.1.2.3", 80), &[]);
    assert_eq!(ruling.rule, Rule::OperatorDeny("10.1.0.0/16".parse().expect("a rule")));
    assert_eq!(ruling.key, "egress.deny in the server's configuration");
    let ruling = deny(&[], &["10.1.2.3"], ("10.1.2.3", 80), &[]);
    assert_eq!(ruling.rule, Rule::Deny("10.1.2.3".parse().expect("a rule")));
    assert_eq!(ruling.key, "egress.deny in the function's manifest");
    assert!(!deny(&["10.1.2.3"], &[], ("64:ff9b::10.1.2.3", 80), &[]).allowed, "in another form");
    assert!(!deny(&["*.evil.example"], &[], ("8.8.8.8", 443), &["a.example", "x.evil.example"]).allowed, "by any name");
    assert!(
        !deny(&["8.8.8.8:22"], &[], ("8.8.8.8", 22), &[]).allowed
            && deny(&["8.8.8.8:22"], &[], ("8.8.8.8", 80), &[]).allowed
    );
}

#[test]
fn a_list_lets_what_it_names() {
    let none = OperatorRules::default();
    let list = policy(Some(&["api.example:443", "*.cdn.example", "9.9.9.0/24:53", "udp://quic.example:443"]), &[]);
    let rule = |transport, to, names: &[&str]| ruled(&none, &list, transport, to, names);
    let allowed = |transport, to, names: &[&str]| rule(transport, to, names).allowed;
    use Transport::{Tcp, Udp};
    assert!(allowed(Tcp, ("8.8.8.8", 443), &["api.example"]) && !allowed(Tcp, ("8.8.8.8", 80), &["api.example"]));
    assert!(!allowed(Tcp, ("8.8.8.8", 443), &[]), "an address without a name");
    assert!(allowed(Tcp, ("8.8.8.8", 1), &["a.b.cdn.example"]) && !allowed(Tcp, ("8.8.8.8", 1), &["cdn.example"]));
    assert!(allowed(Udp, ("9.9.9.9", 53), &[]) && !allowed(Udp, ("9.9.8.9", 53), &[]));
    // The names of QUIC are not read.
    assert!(!allowed(Udp, ("8.8.8.8", 443), &["api.example"]) && !allowed(Udp, ("8.8.8.8", 443), &["x.cdn.example"]));
    assert!(allowed(Udp, ("8.8.8.8", 443), &["quic.example"]));
    let ruling = rule(Tcp, ("8.8.8.8", 22), &["api.example"]);
    assert_eq!((ruling.rule, ruling.key), (Rule::Unlisted, "egress.allow in the function's manifest"));
    let ruling = ruled(&none, &policy(Some(&["*.example", "8.8.8.8"]), &[]), Tcp, ("8.8.8.8", 443), &["a.example"]);
    assert_eq!(ruling.rule.to_string(), "the function allows 8.8.8.8", "by address where both would do");
}

#[test]
fn a_private_network_is_for_those_that_ask_and_may() {
    let (mut granted, asks) = (operator(&[], &[], &["10.1.0.5:5432"]), policy(Some(&[]), &[]));
    let to = ("10.1.0.5", 5432);
    let ruling = ruled(&granted, &asks, Transport::Tcp, to, &[]);
    assert_eq!((ruling.allowed, ruling.rule), (true, Rule::Network("db".parse().expect("a name"))));
    assert!(!ruled(&granted, &asks, Transport::Tcp, ("10.1.0.5", 22), &[]).allowed);
    assert!(!ruled(&granted, &asks, Transport::Tcp, ("8.8.8.8", 443), &[]).allowed, "its list is empty");
    let ruling = ruled(&granted, &EgressPolicy::default(), Transport::Tcp, to, &[]);
    assert_eq!((ruling.allowed, ruling.rule), (false, Rule::Unasked("db".parse().expect("a name"))));
    assert_eq!(ruling.key, "egress.networks in the function's manifest", "no operator has to open it");
    granted.networks[0].projects = Some(vec!["prj_01ARZ3NDEKTSV4RRFFQ69G5FAW".parse().expect("an id")]);
    let ruling = ruled(&granted, &asks, Transport::Tcp, to, &[]);
    assert!(!ruling.allowed && matches!(ruling.rule, Rule::Shut(_)), "another project's is as any other address");
}

#[test]
fn names_that_no_rule_is_about_are_not_looked_up() {
    let (host, none) = (host(), OperatorRules::default());
    let name = |policy: &EgressPolicy, name: &str| {
        Rules { operator: &none, policy, project: None, host: &host }.rule_on_name(name, None).allowed
    };
    let list =
        policy(Some(&["api.example:443", "*.cdn.example", "9.9.9.0/24"]), &["bad.cdn.example", "api.example:80"]);
    assert!(name(&list, "api.example") && name(&list, "x.cdn.example"));
    assert!(
        !name(&list, "secret-4711.tunnel.example") && !name(&list, "bad.cdn.example") && !name(&list, "cdn.example")
    );
    assert!(name(&policy(Some(&["0.0.0.0/0:443"]), &[]), "any.example"), "a rule on every address");
    assert!(name(&EgressPolicy::default(), "any.example"));
    let denied = operator(&[], &["*.evil.example"], &[]);
    let rules = Rules { operator: &denied, policy: &EgressPolicy::default(), project: None, host: &host };
    assert!(!rules.rule_on_name("x.evil.example", None).allowed);
    let attempt = Attempt::<&str> { transport: Transport::Tcp, address: ip("8.8.8.8"), port: Some(443), names: &[] };
    assert!(rules.rule(&attempt).allowed && rules.must_check_name(&attempt), "a name that is denied is looked for");
}

/// Whichever rule by name lets a connection through or opens its address: the name that the client gives counts too.
#[test]
fn what_holds_for_a_name_alone_is_held_to_the_name_that_the_client_gives() {
    let host = host();
    let mut operator = operator(&["db.internal", "10.2.0.0/16"], &[], &["kv.internal:6379"]);
    let checks = |operator: &OperatorRules, policy: &EgressPolicy, to: (&str, u16), names: &[&str]| {
        let project = Some("prj_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().expect("an id"));
        let rules = Rules { operator, policy, project, host: &host };
        let attempt = Attempt { transport: Transport::Tcp, address: ip(to.0), port: Some(to.1), names };
        assert!(rules.rule(&attempt).allowed, "{to:?} by {names:?}");
        rules.must_check_name(&attempt)
    };
    let every = policy(Some(&["0.0.0.0/0"]), &[]);
    for of in [&EgressPolicy::default(), &every] {
        assert!(checks(&operator, of, ("10.1.0.5", 443), &["db.internal"]), "opened by name");
        assert!(!checks(&operator, of, ("10.2.0.5", 443), &["db.internal"]), "opened by address");
        assert!(!checks(&operator, of, ("8.8.8.8", 443), &["db.internal"]), "public");
    }
    assert!(checks(&operator, &every, ("10.1.0.6", 6379), &["kv.internal"]), "a granted network by name");
    let listed = policy(Some(&["*.example", "8.8.8.8"]), &[]);
    assert!(checks(&operator, &listed, ("9.9.9.9", 443), &["a.example"]), "allowed by name");
    assert!(!checks(&operator, &listed, ("8.8.8.8", 443), &["a.example"]), "allowed by address");
    assert!(checks(&operator, &policy(None, &["bad.example"]), ("8.8.8.8", 443), &[]), "denied by name");
    assert!(!checks(&operator, &policy(None, &["bad.example:80"]), ("8.8.8.8", 443), &[]), "at another port");
    assert!(!checks(&operator, &policy(None, &["udp://bad.example"]), ("8.8.8.8", 443), &[]), "over another protocol");
    operator.deny = targets(&["*.evil.example"]);
    assert!(checks(&operator, &EgressPolicy::default(), ("8.8.8.8", 443), &[]), "denied by the operator");
}

/// QUIC hides the name that it is for: where a name decides, it is shut unless the rule speaks of UDP.
#[test]
fn a_rule_by_name_shuts_quic() {
    let none = EgressPolicy::default();
    let quic = |operator: &OperatorRules, policy: &EgressPolicy, address: &str, names: &[&str]| {
        ruled(operator, policy, Transport::Udp, (address, 443), names)
    };
    let open = |rule: &str| operator(&[rule], &[], &[]);
    assert!(!quic(&open("db.internal"), &none, "10.1.0.5", &["db.internal"]).allowed);
    assert!(quic(&open("udp://db.internal"), &none, "10.1.0.5", &["db.internal"]).allowed);
    assert!(quic(&open("10.1.0.5"), &none, "10.1.0.5", &[]).allowed);
    assert!(ruled(&open("db.internal"), &none, Transport::Udp, ("10.1.0.5", 53), &["db.internal"]).allowed);
    let granted = operator(&[], &[], &["kv.internal"]);
    assert!(!quic(&granted, &policy(None, &[]), "10.1.0.5", &["kv.internal"]).allowed, "a granted network by name");
    let denying = operator(&[], &["*.evil.example"], &[]);
    for policy in [&none, &policy(Some(&["udp://good.example", "0.0.0.0/0"]), &[])] {
        let ruling = quic(&denying, policy, "8.8.8.8", &["good.example"]);
        assert_eq!(ruling.rule, Rule::Unseen("*.evil.example".parse().expect("a rule")));
        assert_eq!(ruling.key, "egress.deny in the server's configuration");
        assert!(ruled(&denying, policy, Transport::Udp, ("8.8.8.8", 53), &[]).allowed, "other datagrams go on");
        assert!(ruled(&denying, policy, Transport::Tcp, ("8.8.8.8", 443), &[]).allowed);
    }
    let ruling = quic(&OperatorRules::default(), &policy(None, &["bad.example"]), "8.8.8.8", &[]);
    assert_eq!(ruling.rule.to_string(), "bad.example is denied, and QUIC does not show which name it is for");
    for narrow in ["tcp://bad.example", "bad.example:80", "8.8.4.4"] {
        assert!(quic(&OperatorRules::default(), &policy(None, &[narrow]), "8.8.8.8", &[]).allowed, "{narrow}");
    }
}

#[test]
fn ipv6_is_shut_until_it_is_known_how_the_site_translates() {
    let (operator, policy) = (OperatorRules::default(), EgressPolicy::default());
    let lets = |host: &HostAddresses, address: &str| {
        let rules = Rules { operator: &operator, policy: &policy, project: None, host };
        let (transport, address) = (Transport::Tcp, ip(address));
        rules.rule(&Attempt::<&str> { transport, address, port: Some(443), names: &[] }).allowed
    };
    let unknown = HostAddresses { nat64: None, ..host() };
    assert!(!lets(&unknown, "2606:4700::1111") && lets(&unknown, "8.8.8.8"));
    assert!(lets(&HostAddresses { nat64: Some(Vec::new()), ..host() }, "2606:4700::1111"));
    assert!(lets(&HostAddresses { has_ipv6: false, ..unknown }, "2606:4700::1111"), "no packet leaves");
}

proptest! {
    #[test]
    fn no_form_of_an_address_inside_gets_around_its_own(bits in any::<u32>(), at in any::<usize>(), is_listed in any::<bool>()) {
        let all: Vec<Ipv4Addr> = shut_addresses().iter().filter_map(|(text, _)| text.parse().ok()).collect();
        let listed = all.get(at % all.len()).copied();
        let inside = listed.filter(|_| is_listed).unwrap_or(Ipv4Addr::from_bits(bits));
        let [a, b, c, d] = inside.octets().map(u16::from);
        let (high, low) = (a << 8 | b, c << 8 | d);
        // Every translation is open, its addresses of IPv4 are not.
        let every = ["::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2a00:64::/96", "2002::/16", "2001::/32"];
        let open = every.iter().map(|text| EgressTarget::from(&text.parse::<AllowedTarget>().expect(text))).collect();
        let operator = OperatorRules { open, ..OperatorRules::default() };
        let is_open = ruled(&operator, &EgressPolicy::default(), Transport::Tcp, (&inside.to_string(), 80), &[]).allowed;
        for form in [
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2a00, 0x64, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0x2001, 0, 0x4136, 0xe378, 0x8000, 0x63bf, !high, !low),
        ] {
            let ruling = ruled(&operator, &EgressPolicy::default(), Transport::Tcp, (&form.to_string(), 80), &[]);
            // The two addresses of IPv6 that look like an embedded one are loopback and the unspecified address.
            let is_plain = form == Ipv6Addr::LOCALHOST || form == Ipv6Addr::UNSPECIFIED;
            prop_assert!(is_plain || ruling.allowed == is_open, "{form} leads to {inside}: {ruling:?}");
        }
    }
}
