//! Connections that are tried in a function's place.

use std::net::IpAddr;

use faas_outbound::BrokerConfig;
use faas_ports::{NetworkTarget, NetworkTrial, Networks, PortError, TrialOutcome};
use faas_types::{EgressPolicy, ProjectId, Transport};

use crate::lab::{Lab, Listener, NameServer, config, in_time, policy};

const LOOPBACK: &[&str] = &["127.0.0.0/8"];

fn project() -> ProjectId {
    "prj_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap()
}

async fn try_it(lab: &Lab, policy: &EgressPolicy, host: &str, port: u16) -> NetworkTrial {
    let target = NetworkTarget { host: host.to_owned(), port, transport: Transport::Tcp };
    in_time(lab.broker.try_connection(project(), policy, &target)).await.unwrap()
}

#[tokio::test]
async fn a_try_is_decided_as_a_connection_and_made() {
    let listener = Listener::start("127.0.0.1");
    let names = NameServer::start().await;
    names.set("good.example", &["127.0.0.1"]);
    names.set("two.example", &["10.9.9.9", "127.0.0.1"]);
    names.set("shut.example", &["10.9.9.9"]);
    names.set("round.example", &["bad.example"]);
    names.set("bad.example", &["127.0.0.1"]);
    let lab = Lab::new(BrokerConfig { host: names.view(), ..config(LOOPBACK) });
    let port = listener.address.port();
    let rules = policy(Some(&["*.example", "127.0.0.1"]), &["bad.example"]);

    let trial = try_it(&lab, &rules, "good.example", port).await;
    let here: IpAddr = "127.0.0.1".parse().unwrap();
    assert!(matches!(trial.outcome, TrialOutcome::Connected { address, .. } if address == here), "{trial:?}");
    assert!(trial.decision.allowed && trial.decision.rule.starts_with("the function allows"), "{trial:?}");
    assert!(!listener.is_alone(), "it was really made");

    let trial = try_it(&lab, &rules, "two.example", port).await;
    let allowed: Vec<bool> = trial.addresses.iter().map(|(_, decision)| decision.allowed).collect();
    assert!(matches!(trial.outcome, TrialOutcome::Connected { .. }) && allowed == [true], "{trial:?}");

    let trial = try_it(&lab, &rules, "shut.example", port).await;
    let absent = try_it(&lab, &rules, "absent.example", port).await;
    let told = |trial: &NetworkTrial| (trial.outcome, trial.addresses.clone(), trial.decision.clone());
    assert_eq!(told(&trial), told(&absent), "which names lead inside is not told");
    assert_eq!(trial.outcome, TrialOutcome::NoAddress);

    let trial = try_it(&lab, &rules, "10.9.9.9", port).await;
    assert_eq!(trial.outcome, TrialOutcome::Denied);
    assert_eq!(trial.decision.rule, "the address is not of the public internet: private network 10.0.0.0/8");
    assert_eq!(trial.decision.key, format!("add \"10.9.9.9:{port}\" to egress.private in the server's configuration"));

    let trial = try_it(&lab, &rules, "round.example", port).await;
    assert_eq!(
        (trial.outcome, trial.decision.rule.as_str()),
        (TrialOutcome::Denied, "the function denies bad.example")
    );
    let trial = try_it(&lab, &rules, "none.example", port).await;
    assert_eq!(trial.outcome, TrialOutcome::NoAddress);

    let asked = names.asked();
    let trial = try_it(&lab, &rules, "other.test", port).await;
    assert_eq!((trial.outcome, names.asked()), (TrialOutcome::Denied, asked), "not even looked up");
    assert_eq!(trial.decision.key, "add \"other.test\" to egress.allow in the function's manifest");
}

#[tokio::test]
async fn a_far_end_that_refuses_is_told_apart_from_a_rule() {
    let port = Listener::start("127.0.0.1").address.port();
    let lab = Lab::new(config(LOOPBACK));
    let trial = try_it(&lab, &EgressPolicy::default(), "127.0.0.1", port).await;
    assert_eq!((trial.outcome, trial.decision.allowed, trial.look_up), (TrialOutcome::Refused, true, None));
    let trial = try_it(&lab, &EgressPolicy::default(), "10.0.0.1", port).await;
    assert_eq!((trial.outcome, trial.decision.allowed), (TrialOutcome::Denied, false));
}

#[tokio::test]
async fn tries_are_bounded() {
    let port = Listener::start("127.0.0.1").address.port();
    let lab = Lab::new(config(LOOPBACK));
    let target = NetworkTarget { host: "127.0.0.1".to_owned(), port, transport: Transport::Udp };
    let mut refused = false;
    for _ in 0..100 {
        let tried = in_time(lab.broker.try_connection(project(), &EgressPolicy::default(), &target)).await;
        refused |= matches!(tried, Err(PortError::Full { .. }));
    }
    assert!(refused);
}
