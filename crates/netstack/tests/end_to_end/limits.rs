//! What a stack holds, and for how long.

use std::net::SocketAddr;
use std::time::Duration;

use faas_netstack::{Amounts, Budget, DEVICE_HEADER, Ending, FlowRefusal, StackLimits};
use smoltcp::socket::tcp::State;

use crate::world::{Answers, World};

/// A frame of the sandbox's with one datagram.
pub(crate) fn datagram(source_port: u16, target: &str, payload: &[u8]) -> Vec<u8> {
    let target: SocketAddr = target.parse().expect("an address");
    let SocketAddr::V4(target) = target else { panic!("an IPv4 address") };
    let length = (28 + payload.len()) as u16;
    let mut frame = vec![0; DEVICE_HEADER];
    frame.extend([0x45, 0, (length >> 8) as u8, length as u8, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 0, 2]);
    frame.extend(target.ip().octets());
    frame.extend(source_port.to_be_bytes());
    frame.extend(target.port().to_be_bytes());
    frame.extend((length - 20).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

#[test]
fn half_open_connections_are_capped_and_end() {
    let mut world = World::new(StackLimits { half_open: 10, ..StackLimits::default() });
    world.answers = Answers::Nothing;
    for _ in 0..40 {
        world.connect("1.2.3.4:80");
    }
    world.run_for(Duration::from_millis(5));
    assert_eq!((world.far.asked.len(), world.stack.flows()), (10, 10));
    assert_eq!(world.stack.counters().over_limit, 30);
    world.run_for(Duration::from_secs(151));
    assert!(world.far.closed.len() >= 10, "{}", world.far.closed.len());
    assert!(world.far.closed.iter().all(|(_, ending, ..)| *ending == Ending::Reset));
}

#[test]
fn connections_are_capped_and_one_more_is_refused() {
    let mut world = World::new(StackLimits { connections: 50, ..StackLimits::default() });
    let programs: Vec<_> = (0..60).map(|_| world.connect("1.2.3.4:80")).collect();
    let count =
        |world: &mut World, state| programs.iter().filter(|program| world.socket(**program).state() == state).count();
    world.until("all answers", |world| count(world, State::Established) == 50 && count(world, State::Closed) == 10);
    assert_eq!(world.budget.used().memory, 32 * (512 << 10) + 18 * (128 << 10));
    // With place again, one more gets it.
    world.socket(programs[0]).abort();
    world.until("the place", |world| world.stack.flows() == 49);
    let late = world.connect("1.2.3.4:80");
    world.until("the connection", |world| world.socket(late).state() == State::Established);
}

#[test]
fn an_idle_connection_is_kept_and_a_dead_one_is_not() {
    let limits = StackLimits { idle_timeout: Duration::from_secs(600), ..StackLimits::default() };
    let mut world = World::new(limits);
    let program = world.connect("1.2.3.4:80");
    world.run_for(Duration::from_secs(500));
    assert_eq!(world.socket(program).state(), State::Established);
    world.run_for(Duration::from_secs(110));
    assert_eq!((world.socket(program).state(), world.far.closed.len()), (State::Closed, 1));

    let mut world = World::new(limits);
    world.connect("1.2.3.4:80");
    world.run_for(Duration::from_secs(1));
    world.loss = 100;
    world.run_for(Duration::from_secs(200));
    world.stack.trim();
    assert_eq!((world.far.closed.len(), world.stack.flows(), world.budget.used().memory), (1, 0, 0));
}

#[test]
fn datagrams_wait_for_the_connection_and_go_both_ways() {
    let mut world = World::new(StackLimits::default());
    world.answers = Answers::Nothing;
    for n in 0..20 {
        world.inject(datagram(5_000, "1.2.3.4:99", &[n; 10]));
    }
    world.turn();
    assert_eq!((world.far.asked.len(), world.far.datagrams.len()), (1, 0));
    let flow = world.far.asked[0].0;
    let now = world.now;
    assert!(world.stack.connected(flow, false, now, &mut world.far));
    let waited: Vec<_> = world.far.datagrams.iter().map(|(_, payload)| payload[0]).collect();
    assert_eq!(waited, [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(world.stack.counters().over_limit, 12);
    world.inject(datagram(5_000, "1.2.3.4:99", b"more"));
    world.turn();
    assert_eq!(world.far.datagrams[8].1, b"more");
    world.stack.datagram(flow, b"back", now, &mut world.far);
    world.turn();
    let frame = &world.seen[0];
    assert_eq!(&frame[DEVICE_HEADER + 28..], b"back");
    assert_eq!(frame[DEVICE_HEADER + 20..DEVICE_HEADER + 24], [0, 99, 0x13, 0x88]);
    world.run_for(Duration::from_secs(121));
    assert_eq!(world.far.closed, [(flow, Ending::Clean, 84, 4)]);
}

#[test]
fn the_longest_silent_udp_flow_makes_room_and_a_refusal_is_remembered() {
    let mut world = World::new(StackLimits { udp_flows: 4, ..StackLimits::default() });
    for port in 0..6 {
        world.inject(datagram(5_000 + port, "1.2.3.4:99", b"x"));
        world.turn();
    }
    let closed: Vec<_> = world.far.closed.iter().map(|(flow, ..)| flow.0).collect();
    assert_eq!((closed, world.stack.flows()), (vec![1, 2], 4));

    let mut world = World::new(StackLimits::default());
    world.answers = Answers::Nothing;
    world.inject(datagram(5_000, "1.2.3.4:99", b"x"));
    world.turn();
    let flow = world.far.asked[0].0;
    let now = world.now;
    world.stack.refused(flow, FlowRefusal::Denied, now, &mut world.far);
    for _ in 0..3 {
        world.inject(datagram(5_000, "1.2.3.4:99", b"x"));
        world.turn();
    }
    assert_eq!((world.far.asked.len(), world.seen.len()), (1, 4));
    assert!(world.seen.iter().all(|frame| frame[DEVICE_HEADER + 20..DEVICE_HEADER + 22] == [3, 13]));
    world.run_for(Duration::from_millis(1_100));
    assert_eq!((world.stack.flows(), world.far.closed.len()), (0, 0));
    world.inject(datagram(5_000, "1.2.3.4:99", b"x"));
    world.turn();
    assert_eq!(world.far.asked.len(), 2);
}

#[test]
fn new_flows_and_queries_have_a_rate() {
    let limits = StackLimits { connections: 20, flows_a_second: 10, queries_a_second: 5, ..StackLimits::default() };
    let mut world = World::new(limits);
    for port in 0..40 {
        world.inject(datagram(5_000 + port, "1.2.3.4:99", b"x"));
        world.inject(datagram(5_000 + port, "192.0.0.1:53", &[0; 30]));
    }
    world.turn();
    let first = world.stack.counters();
    assert_eq!((first.flows, first.queries, first.over_limit), (20, 5, 55));
    world.run_for(Duration::from_secs(1));
    for port in 100..140 {
        world.inject(datagram(5_000 + port, "1.2.3.4:99", b"x"));
        world.inject(datagram(5_000 + port, "192.0.0.1:53", &[0; 30]));
    }
    world.turn();
    let second = world.stack.counters();
    assert_eq!((second.flows - first.flows, second.queries - first.queries), (10, 5));
    // A connection that finds no room is asked for again by the kernel's next SYN.
    let program = world.connect("1.2.3.4:80");
    world.until("the connection", |world| world.socket(program).state() == State::Established);
}

#[test]
fn fragments_other_sources_and_noise_are_dropped_and_counted() {
    let mut world = World::new(StackLimits::default());
    let whole = datagram(5_000, "1.2.3.4:99", b"x");
    let mut fragment = whole.clone();
    fragment[DEVICE_HEADER + 6] = 0x20;
    let mut tail = whole.clone();
    tail[DEVICE_HEADER + 7] = 1;
    let mut stranger = whole.clone();
    stranger[DEVICE_HEADER + 15] = 3;
    let mut ping = whole.clone();
    ping[DEVICE_HEADER + 9] = 1;
    for frame in [fragment, tail, stranger, ping, vec![], vec![0; 9], vec![0; 10], vec![0; 40], vec![0x45; 70]] {
        world.inject(frame);
    }
    world.turn();
    let counters = world.stack.counters();
    assert_eq!((counters.fragments, counters.malformed, counters.flows), (2, 7, 0));
    assert!(world.seen.is_empty() && world.far.asked.is_empty());
}

#[test]
fn a_connection_that_an_earlier_stack_left_behind_is_reset() {
    let mut world = World::new(StackLimits::default());
    let program = world.connect("1.2.3.4:80");
    world.until("a connection", |world| world.socket(program).state() == State::Established);
    let source = world.socket(program).local_endpoint().expect("connected");
    // Another stack takes its place and knows of nothing.
    let mut other = World::new(StackLimits::default());
    std::mem::swap(&mut world.stack, &mut other.stack);
    world.far.ends.clear();
    let source = SocketAddr::new(source.addr.into(), source.port);
    world.stack.reset_left_behind(source, "1.2.3.4:80".parse().expect("an address"), &mut world.far);
    world.until("the reset", |world| world.socket(program).state() == State::Closed);
}

/// What a program leaves idle is bounded among all, however much its own sandbox may have.
#[test]
fn a_sandbox_takes_its_part_of_all_flows_and_its_oldest_datagrams_make_room() {
    let whole = Budget::new(Amounts { memory: 64 << 20, flows: 100, udp_flows: 40 });
    let mut world = World::within(StackLimits::default(), whole.part().part());
    for port in 0..60 {
        world.inject(datagram(5_000 + port, "1.2.3.4:99", b"x"));
        world.turn();
    }
    // A quarter of what is shared out is left to one sandbox of one project.
    assert_eq!((whole.used().udp_flows, world.stack.flows()), (10, 10));
    let closed: Vec<_> = world.far.closed.iter().map(|(flow, ..)| flow.0).collect();
    assert_eq!(closed, (1..=50).collect::<Vec<_>>(), "the oldest go first");
    let programs: Vec<_> = (0..40).map(|_| world.connect("1.2.3.4:80")).collect();
    let count =
        |world: &mut World, state| programs.iter().filter(|program| world.socket(**program).state() == state).count();
    world
        .until("all answers", |world| count(world, State::Established) + count(world, State::Closed) == programs.len());
    assert!((10..=25).contains(&whole.used().flows), "{:?}", whole.used());
    let mut neighbour = World::within(StackLimits::default(), whole.part().part());
    let program = neighbour.connect("1.2.3.4:80");
    neighbour.until("a connection", |world| world.socket(program).state() == State::Established);
}

/// Far ends must be able to tell what was sent whole from what was cut off.
#[test]
fn when_all_ends_what_was_taken_ends_clean_and_what_was_not_is_reset() {
    let mut world = World::new(StackLimits::default());
    let (whole, cut) = (world.connect("1.2.3.4:80"), world.connect("1.2.3.4:81"));
    world.until("both stand", |world| {
        [whole, cut].iter().all(|program| world.socket(*program).state() == State::Established)
    });
    let [first, second] = world.far.ends.keys().copied().collect::<Vec<_>>()[..] else { panic!("two flows") };
    world.far.ends.get_mut(&first).expect("an end").takes = 1 << 20;
    world.far.ends.get_mut(&second).expect("an end").takes = 0;
    for program in [whole, cut] {
        world.socket(program).send_slice(b"last words").expect("room");
    }
    world.until("what was sent", |world| world.far.ends[&first].received == b"last words");
    world.run_for(Duration::from_millis(20));
    let now = world.now;
    world.stack.close_all(now, &mut world.far);
    let mut endings: Vec<_> = world.far.closed.iter().map(|(flow, ending, ..)| (*flow, *ending)).collect();
    endings.sort_by_key(|(flow, _)| *flow);
    assert_eq!(endings, [(first, Ending::Clean), (second, Ending::Reset)]);
    world.until("the resets", |world| {
        [whole, cut].iter().all(|program| world.socket(*program).state() == State::Closed)
    });
}
