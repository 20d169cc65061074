//! Which connections are made and which are refused.

use std::net::SocketAddr;
use std::sync::Arc;

use faas_net::protocol::{NetMessage, Protocol, Refusal, ServerMessage};
use faas_outbound::{BrokerConfig, Dialer, GrantedNetwork, HostView, SourceAddresses};
use faas_ports::NetworkEvent;
use faas_types::{ConnectionLog, EgressLimits, EgressPolicy, Transport};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::RecordType;

use crate::lab::{Lab, Listener, NameServer, config, in_time, policy, question, targets};

const LOOPBACK: &[&str] = &["127.0.0.0/8"];

fn from(source: SourceAddresses, proxy: Option<&str>) -> BrokerConfig {
    let dialer = Arc::new(Dialer::new(source, proxy.map(|proxy| proxy.parse().unwrap())));
    let host = Arc::new(HostView::new(Vec::new(), source));
    BrokerConfig { dialer, host, ..config(LOOPBACK) }
}

#[tokio::test]
async fn a_connection_goes_where_a_rule_allows_and_nowhere_else() {
    let listener = Listener::start("127.0.0.1");
    let other = Listener::start("127.0.0.1");
    let rule = listener.address.to_string();
    let (_lab, mut process, mut attached) = Lab::one(config(LOOPBACK), policy(Some(&[&rule]), &[])).await;
    let sandbox = attached.sandbox;
    let (flow, check_name, socket) = process.tcp(sandbox, listener.address).await.unwrap();
    assert!(!check_name, "a rule by address is about no name");
    assert_eq!((attached.counters.usage().connections, attached.counters.usage().open), (1, 1));
    assert!(listener.hears(socket, "hello"));
    process.send(&NetMessage::Closed { flow, up: 5, down: 0 }).await;
    // As a client does that follows a redirection.
    assert_eq!(process.tcp(sandbox, other.address).await.unwrap_err(), Refusal::Denied);
    let denial = attached.denial().await;
    assert_eq!((denial.host.as_str(), denial.port, denial.protocol), ("127.0.0.1", Some(other.address.port()), "tcp"));
    assert_eq!(denial.rule, "no rule of the function allows it");
    assert_eq!(denial.key, format!("add \"{}\" to egress.allow in the function's manifest", other.address));
    assert!(other.is_alone());
    assert_eq!(
        process.connect(sandbox, Protocol::Udp, SocketAddr::from(([127, 0, 0, 1], 9))).await.unwrap_err(),
        Refusal::Denied
    );
    let usage = attached.counters.usage();
    assert_eq!((usage.open, usage.denied), (0, 2));
}

#[tokio::test]
async fn the_end_of_a_connection_is_told_where_the_policy_asks_for_it() {
    let listener = Listener::start("127.0.0.1");
    let all = EgressPolicy { log: ConnectionLog::All, ..EgressPolicy::default() };
    let (_lab, mut process, mut attached) = Lab::one(config(LOOPBACK), all.clone()).await;
    let (flow, _, _socket) = process.tcp(attached.sandbox, listener.address).await.unwrap();
    process.send(&NetMessage::Closed { flow, up: 5, down: 70 }).await;
    let NetworkEvent::Closed(closed) = attached.event().await else { panic!("it ended") };
    assert_eq!((closed.host, closed.address, closed.port), (None, listener.address.ip(), listener.address.port()));
    assert_eq!((closed.transport, closed.sent, closed.received), (Transport::Tcp, 5, 70));
    // A change of the policy counts for what ends after it, also where it began before.
    let (flow, _, _socket) = process.tcp(attached.sandbox, listener.address).await.unwrap();
    attached.policy.send_replace(Arc::default());
    process.send(&NetMessage::Closed { flow, up: 1, down: 1 }).await;
    let (flow, _, _socket) = process.tcp(attached.sandbox, listener.address).await.unwrap();
    attached.policy.send_replace(Arc::new(all));
    process.send(&NetMessage::Closed { flow, up: 2, down: 2 }).await;
    let NetworkEvent::Closed(closed) = attached.event().await else { panic!("it ended") };
    assert_eq!(closed.sent, 2, "the one before was not told");
}

#[tokio::test]
async fn the_inside_is_shut_unless_the_operator_opens_it() {
    let listener = Listener::start("127.0.0.1");
    let (_lab, mut process, mut attached) = Lab::one(config(&[]), policy(Some(&["0.0.0.0/0", "::/0"]), &[])).await;
    let sandbox = attached.sandbox;
    for address in
        ["127.0.0.1", "0.0.0.0", "::1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "::127.0.0.1", "2002:7f00:1::"]
    {
        let to = SocketAddr::new(address.parse().unwrap(), listener.address.port());
        assert_eq!(process.tcp(sandbox, to).await.unwrap_err(), Refusal::Denied, "{address}");
        let denial = attached.denial().await;
        assert!(denial.rule.starts_with("the address is not of the public internet"), "{denial:?}");
        assert!(denial.key.ends_with("to egress.private in the server's configuration"), "{denial:?}");
        assert_eq!(process.connect(sandbox, Protocol::Udp, to).await.unwrap_err(), Refusal::Denied, "{address}");
        attached.denial().await;
    }
    assert!(listener.is_alone());
}

#[tokio::test]
async fn far_ends_that_refuse_or_are_not_there_are_told_apart() {
    let gone = Listener::start("127.0.0.1").address;
    let (_lab, mut process, attached) = Lab::one(config(LOOPBACK), EgressPolicy::default()).await;
    assert_eq!(process.tcp(attached.sandbox, gone).await.unwrap_err(), Refusal::Refused);
    let source = SourceAddresses { v6: Some("::1".parse().unwrap()), v4: None };
    let (_lab, mut process, attached) = Lab::one(from(source, None), EgressPolicy::default()).await;
    assert_eq!(process.tcp(attached.sandbox, gone).await.unwrap_err(), Refusal::Unreachable, "no source of IPv4");
}

#[tokio::test]
async fn connections_are_made_from_the_operators_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let source = SourceAddresses { v4: Some("127.0.0.77".parse().unwrap()), v6: None };
    let (_lab, mut process, attached) = Lab::one(from(source, None), EgressPolicy::default()).await;
    let (_, _, socket) = process.tcp(attached.sandbox, listener.local_addr().unwrap()).await.unwrap();
    assert_eq!(listener.accept().unwrap().1.ip().to_string(), "127.0.0.77");
    // Connections to different far ends may share a port: else a source address has 28,000 for all of them.
    let socket = std::os::fd::AsFd::as_fd(&socket);
    assert!(nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::IpBindAddressNoPort).unwrap());
}

#[tokio::test]
async fn the_name_that_a_client_gives_counts_where_any_rule_is_by_name() {
    let (names, listener) = (NameServer::start().await, Listener::start("127.0.0.1"));
    for name in ["db.test", "other.test", "bad.test"] {
        names.set(name, &["127.0.0.1"]);
    }
    let opened = BrokerConfig { host: names.view(), ..config(&["db.test"]) };
    let (_lab, mut process, mut attached) = Lab::one(opened, EgressPolicy::default()).await;
    assert_eq!(process.look_up(attached.sandbox, "db.test").await.len(), 1);
    for (sni, allowed) in [("db.test", true), ("other.test", false)] {
        let (flow, check_name, _socket) = process.tcp(attached.sandbox, listener.address).await.unwrap();
        assert!(check_name, "the operator opens by name");
        assert_eq!(process.name(flow, Some(sni)).await, allowed, "{sni}");
    }
    assert!(attached.denial().await.rule.contains("loopback"));
    let quic = SocketAddr::from(([127, 0, 0, 1], 443));
    let to = process.connect(attached.sandbox, Protocol::Udp, quic).await;
    assert_eq!(to.unwrap_err(), Refusal::Denied, "QUIC shows no name");
    let denying = policy(Some(&["0.0.0.0/0"]), &["bad.test"]);
    let (_lab, mut process, mut attached) = Lab::one(config(LOOPBACK), denying).await;
    for (sni, allowed) in [("other.test", true), ("bad.test", false)] {
        let (flow, check_name, _socket) = process.tcp(attached.sandbox, listener.address).await.unwrap();
        assert!(check_name, "a name is denied at every address");
        assert_eq!(process.name(flow, Some(sni)).await, allowed, "{sni}");
    }
    let denial = attached.denial().await;
    assert_eq!((denial.host.as_str(), denial.rule.as_str()), ("bad.test", "the function denies bad.test"));
    assert_eq!(process.connect(attached.sandbox, Protocol::Udp, quic).await.unwrap_err(), Refusal::Denied);
    let denial = attached.denial().await;
    let denial = if denial.protocol == "udp" { denial } else { attached.denial().await };
    assert_eq!(denial.rule, "bad.test is denied, and QUIC does not show which name it is for");
    assert!(denial.key.contains("\"tcp://bad.test\" in egress.deny in the function's manifest"), "{}", denial.key);
}

/// A far end that takes no connection and refuses none: the queue of its listener is full.
struct Silent {
    address: SocketAddr,
    _listener: rustix::fd::OwnedFd,
    _waiting: Vec<std::net::TcpStream>,
}

impl Silent {
    fn start() -> Self {
        use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        listen(&listener, 0).unwrap();
        let address = SocketAddr::try_from(getsockname(&listener).unwrap()).unwrap();
        let connect = |_| std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(500)).ok();
        let waiting = (0..8).map_while(connect).collect();
        Self { address, _listener: listener, _waiting: waiting }
    }
}

#[tokio::test]
async fn connections_under_way_are_shared_between_projects() {
    let (silent, listener) = (Silent::start(), Listener::start("127.0.0.1"));
    let (lab, mut process, mut greedy) =
        Lab::one(BrokerConfig { connecting: 8, ..config(LOOPBACK) }, EgressPolicy::default()).await;
    let mut other = lab.attach_of("prj_01ARZ3NDEKTSV4RRFFQ69G5FAW", EgressPolicy::default()).await;
    other.sandbox = process.attached().await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(process.ask(greedy.sandbox, Protocol::Tcp, silent.address).await);
    }
    assert_eq!(process.tcp(greedy.sandbox, silent.address).await.unwrap_err(), Refusal::Denied, "half of all is taken");
    assert!(greedy.denial().await.rule.contains("its share"));
    process.tcp(other.sandbox, listener.address).await.unwrap();
    process.send(&NetMessage::Closed { flow: waiting[0], up: 0, down: 0 }).await;
    process.tcp(greedy.sandbox, listener.address).await.unwrap();
}

#[tokio::test]
async fn datagrams_go_where_a_rule_for_them_allows() {
    let far = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = far.local_addr().unwrap();
    let rule = format!("udp://{to}");
    let (_lab, mut process, attached) = Lab::one(config(LOOPBACK), policy(Some(&[&rule]), &[])).await;
    let (_, check_name, socket) = process.connect(attached.sandbox, Protocol::Udp, to).await.unwrap();
    assert!(!check_name);
    let near = std::net::UdpSocket::from(socket);
    near.send(b"ping").unwrap();
    let mut buffer = [0; 16];
    let (length, from) = far.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from), (&b"ping"[..], near.local_addr().unwrap()));
    assert_eq!(process.tcp(attached.sandbox, to).await.unwrap_err(), Refusal::Denied, "not over TCP");
}

#[tokio::test]
async fn a_rule_by_name_holds_for_the_address_and_the_name_that_the_client_gives() {
    let (names, listener) = (NameServer::start().await, Listener::start("127.0.0.1"));
    names.set("api.test", &["127.0.0.1"]);
    let config = BrokerConfig { host: names.view(), ..config(LOOPBACK) };
    let rule = format!("api.test:{}", listener.address.port());
    let (_lab, mut process, mut attached) = Lab::one(config, policy(Some(&[&rule]), &[])).await;
    let sandbox = attached.sandbox;
    assert_eq!(
        process.tcp(sandbox, listener.address).await.unwrap_err(),
        Refusal::Denied,
        "nobody asked for a name yet"
    );
    attached.denial().await;
    assert_eq!(process.look_up(sandbox, "API.test.").await, [listener.address.ip()]);
    for (sni, allowed) in [(Some("api.test"), true), (Some("evil.test"), false), (None, true)] {
        let (flow, check_name, _socket) = process.tcp(sandbox, listener.address).await.unwrap();
        assert!(check_name);
        assert_eq!(process.name(flow, sni).await, allowed, "{sni:?}");
    }
    let denial = attached.denial().await;
    assert_eq!((denial.host.as_str(), denial.port), ("evil.test", Some(listener.address.port())));
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_after_it_was_checked_does_not_help() {
    let names = NameServer::start().await;
    let (good, inside) = (Listener::start("127.0.0.2"), Listener::start("127.0.0.1"));
    names.set("rebind.test", &["127.0.0.2"]);
    let config = BrokerConfig { host: names.view(), ..config(&["127.0.0.2"]) };
    let (_lab, mut process, mut attached) = Lab::one(config, policy(Some(&["rebind.test"]), &[])).await;
    let sandbox = attached.sandbox;
    assert_eq!(process.look_up(sandbox, "rebind.test").await, [good.address.ip()]);
    names.set("rebind.test", &["127.0.0.1"]);
    let asked = names.asked();
    let (_, _, socket) = process.tcp(sandbox, good.address).await.unwrap();
    assert!(good.hears(socket, "the address that was checked"));
    assert_eq!(names.asked(), asked, "a connection looks nothing up");
    assert_eq!(process.tcp(sandbox, inside.address).await.unwrap_err(), Refusal::Denied);
    attached.denial().await;
    assert!(process.look_up(sandbox, "rebind.test").await.is_empty(), "the new address is left out");
    let denial = attached.denial().await;
    assert_eq!((denial.host.as_str(), denial.protocol), ("rebind.test", "dns"));
    assert_eq!(denial.rule, "the name has no address of the public internet");
    assert_eq!(process.tcp(sandbox, inside.address).await.unwrap_err(), Refusal::Denied);
    assert!(inside.is_alone());
}

#[tokio::test]
async fn a_name_whose_time_is_over_is_looked_up_again_at_the_connection() {
    let (names, stays, goes) = (NameServer::start().await, Listener::start("127.0.0.1"), Listener::start("127.0.0.2"));
    names.set("stays.test", &["127.0.0.1"]);
    names.set("goes.test", &["127.0.0.2"]);
    let config = BrokerConfig { host: names.view(), ..config(LOOPBACK) };
    let mut lab = Lab::forgetful(config);
    let mut attached = lab.attach(policy(Some(&["*.test"]), &[])).await;
    let mut process = lab.process().await;
    attached.sandbox = process.attached().await;
    for name in ["stays.test", "goes.test"] {
        assert_eq!(process.look_up(attached.sandbox, name).await.len(), 1);
    }
    names.set("goes.test", &["127.0.0.3"]);
    let asked = names.asked();
    process.tcp(attached.sandbox, stays.address).await.unwrap();
    assert!(names.asked() > asked, "it was looked up again");
    assert_eq!(process.tcp(attached.sandbox, goes.address).await.unwrap_err(), Refusal::Denied);
    assert!(goes.is_alone());
}

#[tokio::test]
async fn connections_are_limited_by_instance_and_project() {
    let listener = Listener::start("127.0.0.1");
    let limits = EgressLimits { connections: 2, project_connections: 3, ..EgressLimits::default() };
    let (lab, mut process, mut first) =
        Lab::one(BrokerConfig { limits, ..config(LOOPBACK) }, EgressPolicy::default()).await;
    let mut second = lab.attach(EgressPolicy::default()).await;
    second.sandbox = process.attached().await;
    let mut other = lab.attach_of("prj_01ARZ3NDEKTSV4RRFFQ69G5FAW", EgressPolicy::default()).await;
    other.sandbox = process.attached().await;
    let (flow, ..) = process.tcp(first.sandbox, listener.address).await.unwrap();
    process.tcp(first.sandbox, listener.address).await.unwrap();
    assert_eq!(process.tcp(first.sandbox, listener.address).await.unwrap_err(), Refusal::Denied);
    assert_eq!(first.denial().await.rule, "more than 2 connections of the instance");
    process.tcp(second.sandbox, listener.address).await.unwrap();
    assert_eq!(process.tcp(second.sandbox, listener.address).await.unwrap_err(), Refusal::Denied);
    let denial = second.denial().await;
    assert_eq!(
        (denial.rule.as_str(), denial.key.as_str()),
        ("more than 3 connections of the project", "egress.project_connections in the server's configuration",)
    );
    process.tcp(other.sandbox, listener.address).await.unwrap();
    process.send(&NetMessage::Closed { flow, up: 0, down: 0 }).await;
    process.tcp(second.sandbox, listener.address).await.unwrap();
}

/// What the process drops by itself leaves no line in a log.
#[tokio::test]
async fn the_server_meets_its_bounds_before_the_process_does() {
    let own = EgressLimits { connections: 5, connect_rate: 7, query_rate: 9, ..EgressLimits::default() };
    let mut lab = Lab::new(BrokerConfig { limits: own, ..config(LOOPBACK) });
    let _attached = lab.attach(EgressPolicy::default()).await;
    let process = lab.process().await;
    let Some((ServerMessage::Attach { limits, .. }, _)) = process.hear().await else { panic!("nothing was attached") };
    assert!(limits.connections > 5 && limits.flows_a_second > 7 && limits.queries_a_second > 9, "{limits:?}");
}

#[tokio::test]
async fn new_connections_and_look_ups_have_a_rate() {
    let (names, listener) = (NameServer::start().await, Listener::start("127.0.0.1"));
    names.set("a.test", &["127.0.0.1"]);
    let limits = EgressLimits { connect_rate: 1, query_rate: 1, ..EgressLimits::default() };
    let config = BrokerConfig { limits, host: names.view(), ..config(LOOPBACK) };
    let (_lab, mut process, mut attached) = Lab::one(config, EgressPolicy::default()).await;
    // All at once: a slow machine must not make the rate look kept.
    for _ in 0..20 {
        process.ask(attached.sandbox, Protocol::Tcp, listener.address).await;
    }
    let mut refused = 0;
    for _ in 0..20 {
        refused += usize::from(matches!(process.hear().await, Some((ServerMessage::Refused { .. }, _))));
    }
    assert!((1..=18).contains(&refused), "20 at once are more than 1 a second: {refused}");
    assert_eq!(attached.denial().await.rule, "more than 1 new connections a second of the instance");
    let bytes = question("a.test", RecordType::A);
    for query in 0..20 {
        process
            .send(&NetMessage::Resolve { sandbox: attached.sandbox, query, bytes: bytes.clone(), over_tcp: false })
            .await;
    }
    let mut unanswered = 0;
    for _ in 0..20 {
        let Some((ServerMessage::Answered { bytes, .. }, _)) = process.hear().await else { panic!("no answer") };
        let code = Message::from_vec(&bytes).unwrap().metadata.response_code;
        unanswered += usize::from(code == ResponseCode::ServFail);
    }
    assert!((1..=18).contains(&unanswered), "{unanswered}");
    assert_eq!(attached.denial().await.rule, "more than 1 look-ups a second of the instance");
}

#[tokio::test]
async fn a_burst_above_the_rate_waits_for_its_turn() {
    let listener = Listener::start("127.0.0.1");
    let begun = std::time::Instant::now();
    let limits = EgressLimits { connect_rate: 10, ..EgressLimits::default() };
    let (_lab, mut process, mut attached) =
        Lab::one(BrokerConfig { limits, ..config(LOOPBACK) }, EgressPolicy::default()).await;
    for _ in 0..30 {
        process.ask(attached.sandbox, Protocol::Tcp, listener.address).await;
    }
    for _ in 0..30 {
        let (answer, _) = process.hear().await.unwrap();
        assert!(matches!(answer, ServerMessage::Connected { .. }), "{answer:?}");
    }
    // Twenty at once and ten a second: however slow this machine is, not sooner.
    assert!(begun.elapsed() > std::time::Duration::from_millis(950), "{:?}", begun.elapsed());
    assert!(attached.is_quiet());
}

#[tokio::test]
async fn a_private_network_is_for_projects_that_may_have_it() {
    let listener = Listener::start("127.0.0.1");
    let mut config = config(&[]);
    config.operator.networks = vec![GrantedNetwork {
        name: "db".parse().unwrap(),
        targets: targets(&[&listener.address.to_string()]),
        projects: Some(vec!["prj_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap()]),
    }];
    let asks = EgressPolicy { networks: vec!["db".parse().unwrap()], ..policy(Some(&[]), &[]) };
    let (lab, mut process, mut attached) = Lab::one(config, asks.clone()).await;
    process.tcp(attached.sandbox, listener.address).await.unwrap();
    assert!(attached.is_quiet());
    let mut other = lab.attach_of("prj_01ARZ3NDEKTSV4RRFFQ69G5FAW", asks).await;
    other.sandbox = process.attached().await;
    let denial = other.denial().await;
    assert_eq!((denial.host.as_str(), denial.rule.as_str()), ("db", "there is no such network for this project"));
    assert_eq!(process.tcp(other.sandbox, listener.address).await.unwrap_err(), Refusal::Denied);
}

#[tokio::test]
async fn new_rules_about_names_close_what_nobody_read_the_name_of() {
    let listener = Listener::start("127.0.0.1");
    let (_lab, mut process, mut attached) = Lab::one(config(LOOPBACK), EgressPolicy::default()).await;
    let (unseen, check_name, _socket) = process.tcp(attached.sandbox, listener.address).await.unwrap();
    assert!(!check_name, "no rule is about names");
    attached.policy.send_replace(Arc::new(policy(None, &["bad.test"])));
    match process.hear().await {
        Some((ServerMessage::Close { flow }, _)) => assert_eq!(flow, unseen),
        other => panic!("{other:?}"),
    }
    assert_eq!(attached.denial().await.key, "connect again");
    let (seen, check_name, _socket) = process.tcp(attached.sandbox, listener.address).await.unwrap();
    assert!(check_name && process.name(seen, Some("good.test")).await);
    attached.policy.send_replace(Arc::new(policy(None, &["bad.test", "worse.test"])));
    process.tcp(attached.sandbox, listener.address).await.unwrap();
    assert!(attached.is_quiet(), "the name that was read counts");
}

#[tokio::test]
async fn new_rules_close_what_they_do_not_allow() {
    let (stays, goes) = (Listener::start("127.0.0.1"), Listener::start("127.0.0.1"));
    let (_lab, mut process, mut attached) = Lab::one(config(LOOPBACK), EgressPolicy::default()).await;
    let sandbox = attached.sandbox;
    let (kept, _, socket) = process.tcp(sandbox, stays.address).await.unwrap();
    let (closed, ..) = process.tcp(sandbox, goes.address).await.unwrap();
    attached.policy.send_replace(Arc::new(policy(None, &[&goes.address.to_string()])));
    match process.hear().await {
        Some((ServerMessage::Close { flow }, _)) => assert_eq!(flow, closed),
        other => panic!("{other:?}"),
    }
    assert_eq!(attached.denial().await.rule, format!("the function denies {}", goes.address));
    assert_eq!(process.tcp(sandbox, goes.address).await.unwrap_err(), Refusal::Denied);
    assert!(kept != closed && stays.hears(socket, "still here"));
    attached.policy.send_replace(Arc::new(EgressPolicy::default()));
    in_time(async { while process.tcp(sandbox, goes.address).await.is_err() {} }).await;
}
