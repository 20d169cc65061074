//! Names: in first bytes, and asked for by DNS.

use std::time::Duration;

use faas_netstack::{CLIENT_HELLO_MAX, DEVICE_HEADER, Ending, StackLimits};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;

use crate::limits::datagram;
use crate::world::{Answers, World};

/// A ClientHello for `a.example`.
fn hello() -> Vec<u8> {
    let name = b"a.example";
    let extension = [&[0, 0, 0, 14, 0, 12, 0, 0, 9][..], name].concat();
    let body =
        [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 1], &[1, 0], &[0, extension.len() as u8], &extension].concat();
    let handshake = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    [&[22, 3, 1, 0, handshake.len() as u8][..], &handshake].concat()
}

fn held(first: &[u8]) -> (World, SocketHandle) {
    let mut world = World::new(StackLimits::default());
    world.answers = Answers::Connected { check_name: true };
    let program = world.connect("1.2.3.4:443");
    world.until("a connection", |world| world.socket(program).state() == State::Established);
    world.socket(program).send_slice(first).expect("sent");
    (world, program)
}

#[test]
fn first_bytes_wait_until_their_name_is_allowed() {
    let (mut world, program) = held(&hello()[..20]);
    world.run_for(Duration::from_millis(50));
    assert!(world.far.names.is_empty());
    world.socket(program).send_slice(&hello()[20..]).expect("sent");
    world.until("the name", |world| !world.far.names.is_empty());
    let (flow, name) = world.far.names[0].clone();
    assert_eq!(name.as_deref(), Some("a.example"));
    world.socket(program).send_slice(b"more").expect("sent");
    // What the far end says first comes down meanwhile.
    world.end().to_send.extend(b"greeting");
    world.until("the greeting", |world| world.socket(program).recv_queue() == 8);
    assert!(world.end().received.is_empty());
    let now = world.now;
    world.stack.named(flow, true, now, &mut world.far);
    world.until("the bytes", |world| world.end().received.len() == hello().len() + 4);
    assert!(world.end().received.starts_with(&hello()));
    assert_eq!(world.far.names.len(), 1);
}

#[test]
fn a_name_that_is_not_allowed_ends_the_connection_before_a_byte_leaves() {
    let (mut world, program) = held(&hello());
    world.until("the name", |world| !world.far.names.is_empty());
    let (flow, now) = (world.far.names[0].0, world.now);
    world.stack.named(flow, false, now, &mut world.far);
    world.until("the reset", |world| world.socket(program).state() == State::Closed);
    assert_eq!(world.far.closed, [(flow, Ending::Reset, 0, 0)]);
    assert!(world.end().received.is_empty());
}

#[test]
fn what_is_no_client_hello_has_no_name() {
    for first in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0x80]] {
        let (mut world, _) = held(&first);
        world.until("the answer", |world| !world.far.names.is_empty());
        assert_eq!(world.far.names[0].1, None);
    }
}

#[test]
fn a_greeting_whose_name_is_not_clear_ends_the_connection_before_a_byte_leaves() {
    let endless = [&[22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xf0][..], &vec![0; CLIENT_HELLO_MAX]].concat();
    let after_an_empty_record = [&[22, 3, 1, 0, 0][..], &hello()].concat();
    for first in [endless, after_an_empty_record] {
        let (mut world, program) = held(&first);
        world.until("the reset", |world| world.socket(program).state() == State::Closed);
        assert!(world.far.names.is_empty() && world.end().received.is_empty());
        assert_eq!(world.stack.counters().unclear_names, 1);
    }
    let (mut world, program) = held(&hello()[..20]);
    world.socket(program).close();
    world.until("the reset", |world| world.far.closed.len() == 1);
    assert!(world.far.names.is_empty() && world.end().received.is_empty());
}

#[test]
fn queries_over_udp_are_handed_out_and_answered() {
    let mut world = World::new(StackLimits { queries: 3, ..StackLimits::default() });
    for port in 0..5 {
        world.inject(datagram(6_000 + port, "192.0.0.1:53", &[port as u8; 30]));
    }
    world.inject(datagram(6_000, "192.0.0.1:53", b"short"));
    world.inject(datagram(6_000, "192.0.0.1:54", &[0; 30]));
    world.turn();
    assert_eq!(world.far.queries.len(), 3);
    assert_eq!((world.stack.counters().over_limit, world.stack.counters().malformed), (2, 1));
    assert_eq!(world.seen[0][DEVICE_HEADER + 20..DEVICE_HEADER + 22], [3, 3]);
    let (query, message, over_tcp) = world.far.queries[1].clone();
    assert_eq!((message, over_tcp), (vec![1; 30], false));
    let now = world.now;
    for _ in 0..2 {
        world.stack.answered(query, b"answer", now, &mut world.far);
    }
    world.turn();
    assert_eq!(world.seen.len(), 2);
    assert_eq!(world.seen[1][DEVICE_HEADER + 20..DEVICE_HEADER + 24], [0, 53, 0x17, 0x71]);
    assert!(world.seen[1].ends_with(b"answer"));
    world.inject(datagram(6_009, "192.0.0.1:53", &[9; 30]));
    world.turn();
    assert_eq!(world.far.queries.len(), 4);
}

#[test]
fn queries_over_tcp_are_handed_out_and_answered_one_after_another() {
    let mut world = World::new(StackLimits::default());
    let program = world.connect("192.0.0.1:53");
    world.until("a connection", |world| world.socket(program).state() == State::Established);
    let message = |byte: u8, length: u16| [&length.to_be_bytes()[..], &vec![byte; usize::from(length)]].concat();
    world.socket(program).send_slice(&[message(1, 20), message(2, 4_000)].concat()).expect("sent");
    world.until("a query", |world| world.far.queries.len() == 1);
    world.run_for(Duration::from_millis(20));
    let (query, bytes, over_tcp) = world.far.queries[0].clone();
    assert_eq!((world.far.queries.len(), bytes, over_tcp), (1, vec![1; 20], true));
    let now = world.now;
    world.stack.answered(query, &vec![8; 65_535], now, &mut world.far);
    world.socket(program).close();
    let mut received = Vec::new();
    let mut take = |world: &mut World| {
        while world.socket(program).can_recv() {
            let part = |bytes: &mut [u8]| {
                received.extend_from_slice(bytes);
                (bytes.len(), ())
            };
            world.socket(program).recv(part).expect("received");
        }
        received.len()
    };
    world.until("the answer", |world| take(world) == 65_537);
    world.until("the next query", |world| world.far.queries.len() == 2);
    assert_eq!(world.far.queries[1].1, vec![2; 4_000]);
    let (query, now) = (world.far.queries[1].0, world.now);
    world.stack.answered(query, &[9; 12], now, &mut world.far);
    world.until("the end", |world| take(world) == 65_551 && world.stack.flows() == 0);
    assert_eq!(received[..2], [0xff, 0xff]);
    assert!(received.ends_with(&message(9, 12)));
    assert!(world.far.closed.is_empty() && world.far.asked.is_empty());
}

#[test]
fn nonsense_to_the_name_server_is_reset_and_other_ports_are_refused() {
    for first in [&[0, 3, 1, 2, 3][..], &[0xff, 0xff, 0]] {
        let mut world = World::new(StackLimits::default());
        let program = world.connect("192.0.0.1:53");
        world.until("a connection", |world| world.socket(program).state() == State::Established);
        world.socket(program).send_slice(first).expect("sent");
        world.until("the reset", |world| world.socket(program).state() == State::Closed);
        world.stack.trim();
        assert_eq!((world.stack.flows(), world.budget.used().memory), (0, 0));
    }
    let mut world = World::new(StackLimits::default());
    let program = world.connect("192.0.0.1:80");
    world.until("the refusal", |world| world.socket(program).state() == State::Closed);
}
