//! Processes that end, and processes that were taken over.

use std::sync::atomic::Ordering;

use faas_net::protocol::{Gone, NetMessage, Protocol, Refusal, ServerMessage, Usage};
use faas_ports::NetworkEvent;
use faas_types::EgressPolicy;

use crate::lab::{Lab, Listener, config, in_time};

const LOOPBACK: &[&str] = &["127.0.0.0/8"];

#[tokio::test]
async fn a_process_that_ends_costs_its_connections_and_nothing_else() {
    let listener = Listener::start("127.0.0.1");
    let (mut lab, mut process, mut attached) = Lab::one(config(LOOPBACK), EgressPolicy::default()).await;
    let mut idle = lab.attach(EgressPolicy::default()).await;
    idle.sandbox = process.attached().await;
    let sandbox = attached.sandbox;
    process.tcp(sandbox, listener.address).await.unwrap();
    let usage = Usage { up: 10, down: 20, ..Usage::default() };
    process.send(&NetMessage::Usage { sandbox, usage }).await;
    in_time(async {
        while attached.counters.usage().received != 20 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(process);
    assert_eq!(attached.event().await, NetworkEvent::Interrupted);
    assert_eq!(attached.counters.usage().open, 0);
    let mut next = lab.process().await;
    let mut again = [next.attached().await, next.attached().await];
    again.sort_unstable();
    assert_eq!(again, [sandbox, idle.sandbox], "with the devices that the server kept");
    assert!(idle.is_quiet(), "it had no connection");
    next.tcp(sandbox, listener.address).await.unwrap();
    next.send(&NetMessage::Usage { sandbox, usage }).await;
    in_time(async {
        while attached.counters.usage().received != 40 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!((attached.counters.usage().sent, attached.counters.usage().connections), (20, 2));
}

#[tokio::test]
async fn the_last_bytes_of_an_instance_count_although_it_is_gone() {
    let listener = Listener::start("127.0.0.1");
    let (_lab, mut process, attached) = Lab::one(config(LOOPBACK), EgressPolicy::default()).await;
    let sandbox = attached.sandbox;
    process.tcp(sandbox, listener.address).await.unwrap();
    let counters = attached.counters;
    drop(attached.lease);
    assert!(matches!(process.hear().await, Some((ServerMessage::Detach { .. }, _))));
    let usage = Usage { up: 7, down: 9, ..Usage::default() };
    process.send(&NetMessage::Usage { sandbox, usage }).await;
    process.send(&NetMessage::Gone { sandbox, why: Gone::Ended }).await;
    // After it is gone a process has nothing to say about it.
    process.send(&NetMessage::Usage { sandbox, usage: Usage { up: 1_000, ..usage } }).await;
    in_time(async {
        while counters.usage().received != 9 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let refused = process.tcp(sandbox, listener.address).await.unwrap_err();
    assert_eq!((refused, counters.usage().sent, counters.usage().open), (Refusal::Denied, 7, 0));
}

#[tokio::test]
async fn what_is_given_back_is_served_no_more() {
    let listener = Listener::start("127.0.0.1");
    let (_lab, mut process, attached) = Lab::one(config(LOOPBACK), EgressPolicy::default()).await;
    let sandbox = attached.sandbox;
    process.tcp(sandbox, listener.address).await.unwrap();
    drop(attached);
    assert!(matches!(process.hear().await, Some((ServerMessage::Detach { sandbox: of }, _)) if of == sandbox));
    assert_eq!(process.tcp(sandbox, listener.address).await.unwrap_err(), Refusal::Denied);
}

#[tokio::test]
async fn a_process_cannot_speak_for_others_or_confuse_the_server() {
    let listener = Listener::start("127.0.0.1");
    let (mut lab, mut process, attached) = Lab::one(config(LOOPBACK), EgressPolicy::default()).await;
    for sandbox in [0, attached.sandbox + 1_000, u64::MAX] {
        assert_eq!(process.tcp(sandbox, listener.address).await.unwrap_err(), Refusal::Denied);
        process.send(&NetMessage::Gone { sandbox, why: Gone::DeviceLost }).await;
        process.send(&NetMessage::Usage { sandbox, usage: Usage { up: u64::MAX, ..Usage::default() } }).await;
    }
    for flow in [0, 4_711, u64::MAX] {
        process.send(&NetMessage::Closed { flow, up: u64::MAX, down: u64::MAX }).await;
        process.send(&NetMessage::Name { flow, sni: Some("a.example".into()) }).await;
    }
    let zero = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    assert_eq!(process.tcp(attached.sandbox, zero).await.unwrap_err(), Refusal::Denied);
    let (flow, ..) = process.tcp(attached.sandbox, listener.address).await.unwrap();
    let (address, port) = (listener.address.ip(), listener.address.port());
    let sandbox = attached.sandbox;
    process.send(&NetMessage::Connect { sandbox, flow, protocol: Protocol::Tcp, address, port }).await;
    assert!(process.hear().await.is_none(), "a number that is used twice ends the process");
    let mut next = lab.process().await;
    assert_eq!(next.attached().await, sandbox);
    next.tcp(sandbox, listener.address).await.unwrap();
}

#[tokio::test]
async fn a_device_that_the_process_has_lost_is_handed_over_again() {
    let mut lab = Lab::new(config(LOOPBACK));
    let living = lab.attach_living(EgressPolicy::default()).await;
    let mut process = lab.process().await;
    let sandbox = process.attached().await;
    for why in [Gone::DeviceLost, Gone::NotAttached] {
        process.send(&NetMessage::Gone { sandbox, why }).await;
        // What an earlier process may have left behind is reset after each.
        let again = async {
            loop {
                match process.hear().await {
                    Some((ServerMessage::Attach { sandbox, .. }, descriptors)) => break (sandbox, descriptors.len()),
                    Some((ServerMessage::Reset { .. }, _)) => {}
                    other => panic!("not attached: {other:?}"),
                }
            }
        };
        assert_eq!(again.await, (sandbox, 2), "after {why:?}");
    }
    // One that has ended is not.
    let ended = lab.attach(EgressPolicy::default()).await;
    let gone = process.attached().await;
    process.send(&NetMessage::Gone { sandbox: gone, why: Gone::Ended }).await;
    drop((living, ended));
    let mut detached = Vec::new();
    while detached.len() < 2 {
        match process.hear().await {
            Some((ServerMessage::Detach { sandbox }, _)) => detached.push(sandbox),
            Some((ServerMessage::Reset { .. }, _)) => {}
            other => panic!("not given back: {other:?}"),
        }
    }
    assert_eq!(detached, [sandbox, gone]);
}

#[tokio::test]
async fn a_process_that_does_not_start_is_tried_again_as_long_as_there_are_instances() {
    let (mut lab, process, attached) = Lab::one(config(LOOPBACK), EgressPolicy::default()).await;
    lab.failures.store(3, Ordering::Relaxed);
    drop(process);
    let mut next = lab.process().await;
    assert_eq!(next.attached().await, attached.sandbox);
    assert_eq!(lab.failures.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn instances_of_a_project_have_its_number_and_no_other() {
    let lab = Lab::new(config(LOOPBACK));
    let other = "prj_01ARZ3NDEKTSV4RRFFQ69G5FAW";
    let own = [lab.attach(EgressPolicy::default()).await, lab.attach(EgressPolicy::default()).await];
    let foreign = lab.attach_of(other, EgressPolicy::default()).await;
    let mut lab = lab;
    let process = lab.process().await;
    let mut projects = Vec::new();
    while projects.len() < 3 {
        match process.hear().await {
            Some((ServerMessage::Attach { project, .. }, _)) => projects.push(project),
            other => panic!("not attached: {other:?}"),
        }
    }
    assert_eq!(projects[0], projects[1]);
    assert_ne!(projects[0], projects[2]);
    drop((own, foreign));
}

#[tokio::test]
async fn a_process_that_hangs_is_killed_and_replaced_and_one_that_answers_stays() {
    let mut lab = Lab::impatient(config(LOOPBACK));
    let attached = lab.attach_living(EgressPolicy::default()).await;
    let mut first = lab.process().await;
    let sandbox = first.attached().await;
    // Silent for longer than the server's patience, but there when it is asked.
    for _ in 0..5 {
        assert!(matches!(first.hear_anything().await, Some((ServerMessage::Ping, _))));
        first.send(&NetMessage::Pong).await;
    }
    assert_eq!(lab.killed.load(Ordering::Relaxed), 0);
    // It is asked, and says nothing any more.
    while first.hear_anything().await.is_some() {}
    let mut second = lab.process().await;
    assert_eq!((second.attached().await, lab.killed.load(Ordering::Relaxed)), (sandbox, 1));
    drop(attached);
}
