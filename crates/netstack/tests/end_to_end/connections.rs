//! TCP as a program sees it.

use std::time::Duration;

use faas_netstack::{DEVICE_HEADER, Ending, FlowRefusal, StackLimits};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;

use crate::world::{Answers, World, next};

const TARGETS: [&str; 2] = ["93.184.216.34:80", "[2001:db8::5]:80"];

fn bytes(length: usize, mut seed: u64) -> Vec<u8> {
    (0..length).map(|_| next(&mut seed) as u8).collect()
}

/// A program that is connected.
fn connected(world: &mut World, target: &str) -> SocketHandle {
    let program = world.connect(target);
    world.until("a connection", |world| world.socket(program).state() == State::Established);
    program
}

/// Sends and receives until both sides have everything and have finished.
fn exchange(world: &mut World, program: SocketHandle, up: &[u8], down: &[u8]) {
    let (mut sent, mut received) = (0, Vec::new());
    world.end().to_send.extend(down);
    world.end().finishes = true;
    world.until("the end of the exchange", |world| {
        let socket = world.socket(program);
        if sent < up.len() {
            if socket.can_send() {
                sent += socket.send_slice(&up[sent..]).expect("sent");
            }
        } else {
            socket.close();
        }
        while socket.can_recv() {
            let take = |bytes: &mut [u8]| {
                received.extend_from_slice(bytes);
                (bytes.len(), ())
            };
            socket.recv(take).expect("received");
        }
        received.len() >= down.len() && world.end().drained && world.far.closed.len() == 1
    });
    assert!(received == down, "{} of {} bytes came down", received.len(), down.len());
    assert!(world.end().received == up, "{} of {} bytes came up", world.end().received.len(), up.len());
    let (_, ending, up_count, down_count) = world.far.closed[0];
    assert_eq!((ending, up_count, down_count), (Ending::Clean, up.len() as u64, down.len() as u64));
    world.stack.trim();
    assert_eq!((world.stack.flows(), world.budget.used().memory), (0, 0));
}

#[test]
fn what_is_sent_arrives_both_ways_and_both_ends_are_seen() {
    for target in TARGETS {
        for (up, down) in [(0, 0), (1, 0), (0, 1), (3_000_000, 10), (10, 3_000_000), (1_000_000, 1_000_000)] {
            let mut world = World::new(StackLimits::default());
            let program = connected(&mut world, target);
            exchange(&mut world, program, &bytes(up, 1), &bytes(down, 2));
        }
    }
}

#[test]
fn loss_and_reordering_cost_time_and_no_bytes() {
    for seed in 1..=12 {
        let mut world = World::new(StackLimits::default()).seed(seed, 2 + seed % 7, 10 + seed % 30);
        let program = connected(&mut world, TARGETS[seed as usize % 2]);
        exchange(&mut world, program, &bytes(400_000, seed), &bytes(500_000, seed + 1));
    }
}

#[test]
fn either_side_may_finish_first_and_still_receive() {
    let mut world = World::new(StackLimits::default());
    let program = connected(&mut world, TARGETS[0]);
    world.socket(program).send_slice(b"request").expect("sent");
    world.socket(program).close();
    world.until("the program's end", |world| world.end().drained);
    assert_eq!(world.end().received, b"request");
    world.run_for(Duration::from_secs(3));
    world.end().to_send.extend(b"answer");
    world.until("the answer", |world| world.socket(program).recv_queue() == 6);
    assert!(world.far.closed.is_empty());

    let mut world = World::new(StackLimits::default());
    let program = connected(&mut world, TARGETS[0]);
    world.end().to_send.extend(b"greeting");
    world.end().finishes = true;
    world.until("the far end's end", |world| world.socket(program).state() == State::CloseWait);
    world.run_for(Duration::from_secs(3));
    world.socket(program).send_slice(b"late").expect("sent");
    world.until("what came after it", |world| world.end().received == b"late");
    assert!(world.far.closed.is_empty() && !world.end().drained);
}

#[test]
fn bytes_that_came_with_the_end_wait_for_a_slow_far_end() {
    let mut world = World::new(StackLimits::default());
    let program = connected(&mut world, TARGETS[0]);
    world.end().takes = 0;
    world.end().finishes = true;
    world.socket(program).send_slice(&bytes(100_000, 3)).expect("sent");
    world.socket(program).close();
    // smoltcp itself forgets them after ten seconds of lingering.
    world.run_for(Duration::from_secs(40));
    assert!(world.far.closed.is_empty());
    world.end().takes = 1_000;
    world.until("the end", |world| world.far.closed.len() == 1);
    assert!(world.end().received == bytes(100_000, 3));
    assert_eq!(world.far.closed[0].1, Ending::Clean);
}

#[test]
fn a_reset_is_passed_on_both_ways() {
    let mut world = World::new(StackLimits::default());
    let program = connected(&mut world, TARGETS[0]);
    world.socket(program).abort();
    world.until("the reset", |world| world.far.closed.len() == 1);
    assert_eq!(world.far.closed[0].1, Ending::Reset);

    let mut world = World::new(StackLimits::default());
    let program = connected(&mut world, TARGETS[0]);
    let flow = *world.far.ends.keys().next().expect("a flow");
    world.stack.abort(flow);
    world.until("the reset", |world| world.socket(program).state() == State::Closed);
    assert_eq!(world.far.closed[0].1, Ending::Reset);

    let mut world = World::new(StackLimits::default());
    let program = connected(&mut world, TARGETS[0]);
    let flow = *world.far.ends.keys().next().expect("a flow");
    let now = world.now;
    world.stack.close(flow, now, &mut world.far);
    world.until("the reset", |world| world.socket(program).state() == State::Closed);
    world.stack.trim();
    assert_eq!((world.far.closed.len(), world.stack.flows(), world.budget.used().memory), (1, 0, 0));
}

#[test]
fn a_panic_ends_its_connection_and_no_other() {
    let mut world = World::new(StackLimits::default());
    let program = connected(&mut world, TARGETS[0]);
    world.end().takes = 0;
    let other = connected(&mut world, TARGETS[0]);
    world.socket(program).send_slice(b"first").expect("sent");
    world.run_for(Duration::from_millis(20));
    let (flow, now) = (*world.far.ends.keys().next().expect("a flow"), world.now);
    assert_eq!(world.stack.read(flow, now, |_| panic!("as the engine might")), 0);
    world.until("the reset", |world| world.socket(program).state() == State::Closed);
    assert_eq!(world.far.closed, [(flow, Ending::Reset, 0, 0)]);
    assert_eq!((world.stack.counters().panics, world.stack.flows()), (1, 1));
    world.socket(other).send_slice(b"second").expect("sent");
    world.until("bytes of the other", |world| world.far.ends.values().any(|end| end.received == b"second"));
}

#[test]
fn a_program_is_connected_only_when_the_far_end_is() {
    let mut world = World::new(StackLimits::default());
    world.answers = Answers::Nothing;
    let program = world.connect(TARGETS[0]);
    world.run_for(Duration::from_secs(20));
    assert_eq!(world.socket(program).state(), State::SynSent);
    assert_eq!(world.far.asked.len(), 1, "a SYN that is sent again is the same connection");
    assert!(world.seen.is_empty());
    world.answers = Answers::Connected { check_name: false };
    world.until("the connection", |world| world.socket(program).state() == State::Established);
}

#[test]
fn a_refusal_looks_like_that_of_the_far_end() {
    for target in TARGETS {
        let version = if target.starts_with('[') { 1 } else { 0 };
        for (how, icmp) in [
            (FlowRefusal::Refused, None),
            (FlowRefusal::Denied, Some([[3, 13], [1, 3]][version])),
            (FlowRefusal::Unreachable, Some([[3, 1], [1, 3]][version])),
        ] {
            let mut world = World::new(StackLimits::default());
            world.answers = Answers::Nothing;
            let program = world.connect(target);
            world.until("the question", |world| world.far.asked.len() == 1);
            let (flow, _, asked) = world.far.asked[0];
            assert_eq!(asked.to_string(), target);
            let now = world.now;
            assert!(world.stack.refused(flow, how, now, &mut world.far));
            world.until("the answer", |world| !world.seen.is_empty());
            let start = DEVICE_HEADER + [20, 40][version];
            match icmp {
                Some(icmp) => assert_eq!(world.seen[0][start..start + 2], icmp),
                None => world.until("the refusal", |world| world.socket(program).state() == State::Closed),
            }
            assert_eq!((world.stack.flows(), world.far.closed.len()), (0, 0));
        }
    }
}

#[test]
fn a_far_end_that_does_not_read_closes_the_window_and_costs_no_more() {
    let mut world = World::new(StackLimits::default());
    let program = connected(&mut world, TARGETS[0]);
    world.end().takes = 0;
    let mut sent = 0;
    let up = bytes(2_000_000, 5);
    for _ in 0..60_000 {
        if world.socket(program).can_send() {
            sent += world.socket(program).send_slice(&up[sent..]).expect("sent");
        }
        world.turn();
    }
    assert!(sent < 600_000, "{sent}");
    assert_eq!(world.budget.used().memory, 512 << 10);
    world.end().takes = usize::MAX;
    world.until("the rest", |world| {
        if sent < up.len() && world.socket(program).can_send() {
            sent += world.socket(program).send_slice(&up[sent..]).expect("sent");
        }
        world.end().received.len() == up.len()
    });
    assert!(world.end().received == up);
}

#[test]
fn a_program_that_does_not_read_fills_its_window_and_goes_on_later() {
    let mut world = World::new(StackLimits::default());
    let program = connected(&mut world, TARGETS[0]);
    let down = bytes(2_000_000, 6);
    world.end().to_send.extend(&down);
    world.run_for(Duration::from_secs(60));
    assert!(world.end().to_send.len() > 1_500_000, "{}", world.end().to_send.len());
    let mut received = Vec::new();
    world.until("the rest", |world| {
        while world.socket(program).can_recv() {
            let take = |bytes: &mut [u8]| {
                received.extend_from_slice(bytes);
                (bytes.len(), ())
            };
            world.socket(program).recv(take).expect("received");
        }
        received.len() == down.len()
    });
    assert!(received == down);
}
