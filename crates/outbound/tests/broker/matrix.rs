//! The matrix: every form of an address inside, tried as functions, builds and callbacks do, each by its own way in.

use std::net::{IpAddr, SocketAddr};

use faas_net::protocol::{Protocol, Refusal, ServerMessage};
use faas_outbound::{BrokerConfig, Guard, HttpOutbound, IndexEgress, Operator, Remedy};
use faas_ports::{Egress, EgressError, Outbound, OutboundError, OutboundMessage};
use faas_types::EgressLimits;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;

use crate::lab::{Lab, NameServer, config, policy};

/// What a policy may say, so that nothing of it opens the inside.
const EVERYTHING: &[&str] = &["0.0.0.0/0", "::/0", "udp://0.0.0.0/0:443", "*.test"];

fn addresses() -> Vec<(IpAddr, &'static str)> {
    let lines = include_str!("../shut_addresses.txt").lines().filter(|line| !line.starts_with('#'));
    let all: Vec<_> = lines.filter_map(|line| line.split_once(' ')).collect();
    assert!(all.len() > 50, "the table is there");
    all.into_iter().map(|(address, word)| (address.parse().unwrap(), word)).collect()
}

#[tokio::test]
async fn functions_reach_no_address_inside() {
    let names = NameServer::start().await;
    let limits = EgressLimits { connect_rate: 10_000, query_rate: 10_000, ..EgressLimits::default() };
    let config = BrokerConfig { host: names.view(), limits, ..config(&[]) };
    let (lab, mut process, _attached) = Lab::one(config, policy(None, &[])).await;
    for (number, (address, word)) in addresses().into_iter().enumerate() {
        // One instance each: the number of reported kinds per instance is bounded.
        let mut attached = lab.attach(policy(Some(EVERYTHING), &[])).await;
        let sandbox = process.attached().await;
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            for port in [53, 443] {
                let to = SocketAddr::new(address, port);
                let refused = process.connect(sandbox, protocol, to).await.unwrap_err();
                assert_eq!(refused, Refusal::Denied, "{protocol:?} {to}");
                let denial = attached.denial().await;
                assert!(denial.rule.contains(word), "{to}: {denial:?}");
                assert_eq!(denial.host, address.to_string());
                assert!(denial.key.ends_with("to egress.private in the server's configuration"), "{denial:?}");
            }
        }
        // By a name that leads there, alone and among others; a moment ago it led to the public internet.
        let name = format!("n{number}.test");
        let kind = if address.is_ipv4() { RecordType::A } else { RecordType::AAAA };
        names.set(&name, &["8.8.8.8"]);
        process.look_up(sandbox, &name).await;
        names.set(&name, &[&address.to_string()]);
        let answer = process.query(sandbox, &name, kind).await;
        assert!(answer.answers.is_empty(), "{name} {address}");
        // Where the machine has no IPv6, nothing is said of such addresses.
        if address.is_ipv4() {
            assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "{address}");
            assert_eq!(attached.denial().await.host, name);
        }
        let refused = process.tcp(sandbox, SocketAddr::new(address, 443)).await.unwrap_err();
        assert_eq!(refused, Refusal::Denied, "{address} by {name}");
        let denied = attached.counters.usage().denied;
        drop(attached);
        assert!(denied >= 5 && matches!(process.hear().await, Some((ServerMessage::Detach { .. }, _))));
    }
}

#[tokio::test]
async fn builds_reach_no_address_inside() {
    let remedy = Remedy { allowed: Vec::new(), operator: Operator::OfServer };
    let hosts = addresses().iter().map(|(address, _)| address.to_string().parse().unwrap()).collect();
    // Every address is one of a package index, and still has to be public.
    let egress = IndexEgress::new(vec![hosts], &[], Vec::new(), remedy, Default::default());
    for (address, _) in addresses() {
        match egress.connect(&address.to_string(), 443).await {
            Err(EgressError::NotAllowed(why)) => assert!(why.contains("FAAS_BUILD_ALLOW"), "{address}: {why}"),
            Err(EgressError::Failed(why)) => panic!("{address} was tried: {why}"),
            Ok(_) => panic!("{address} was reached"),
        }
    }
}

#[tokio::test]
async fn callbacks_reach_no_address_inside() {
    let outbound = HttpOutbound::new(Guard::default(), Default::default());
    for (address, _) in addresses() {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{}/hook", SocketAddr::new(address, 8080));
            let why = outbound.check(&url).expect_err(&url).0;
            assert!(why.contains("no address of the public internet") && why.contains("callbacks.allow"), "{why}");
            let message = OutboundMessage { url: url.clone(), headers: Vec::new(), body: Default::default() };
            let refused = outbound.post(message).await;
            assert!(matches!(refused, Err(OutboundError::Refused(_))), "{url}: {refused:?}");
        }
    }
}
