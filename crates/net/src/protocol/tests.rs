use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

use proptest::prelude::*;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, send as send_raw, sendmsg};

use super::*;

fn server_messages() -> Vec<ServerMessage> {
    let connection = SandboxConnection {
        source: IpAddr::V4(Ipv4Addr::new(192, 0, 0, 2)),
        source_port: 40_000,
        address: IpAddr::V6(Ipv6Addr::LOCALHOST),
        port: 443,
    };
    vec![
        ServerMessage::Attach { sandbox: 1, project: 2, limits: Limits::default() },
        ServerMessage::Detach { sandbox: u64::MAX },
        ServerMessage::Reset { sandbox: 1, connections: vec![connection; RESET_MAX] },
        ServerMessage::Connected { flow: 2, check_name: true },
        ServerMessage::Refused { flow: 2, how: Refusal::Denied },
        ServerMessage::Answered { query: 3, bytes: vec![0xff; ANSWER_MAX] },
        ServerMessage::Named { flow: 2, allowed: false },
        ServerMessage::Close { flow: 2 },
        ServerMessage::Ping,
    ]
}

fn net_messages() -> Vec<NetMessage> {
    let address = IpAddr::V6("2001:db8::1".parse().expect("an address"));
    let usage = Usage { up: 1, down: u64::MAX, flows: 3, queries: 4, dropped: 5 };
    vec![
        NetMessage::Ready,
        NetMessage::Connect { sandbox: 1, flow: 2, protocol: Protocol::Tcp, address, port: 443 },
        NetMessage::Resolve { sandbox: 1, query: 3, bytes: vec![7; QUERY_MAX], over_tcp: true },
        NetMessage::Name { flow: 2, sni: Some("api.example.com".to_owned()) },
        NetMessage::Name { flow: 2, sni: None },
        NetMessage::Closed { flow: 2, up: 10, down: 20 },
        NetMessage::Usage { sandbox: 1, usage },
        NetMessage::Gone { sandbox: 1, why: Gone::DeviceLost },
        NetMessage::Pong,
    ]
}

fn kind<T>(result: io::Result<T>) -> io::ErrorKind {
    result.err().map_or(io::ErrorKind::Other, |error| error.kind())
}

#[test]
fn every_message_arrives_as_it_was_sent() {
    let (server, net) = channel().expect("sockets");
    let file = File::open("/dev/null").expect("a file");
    let mut buffer = vec![0; MESSAGE_MAX];
    for message in server_messages() {
        let descriptors = vec![file.as_fd(); message.descriptors()];
        send(server.as_fd(), &message, &descriptors).expect("sent");
        let (received, came) =
            receive::<ServerMessage>(net.as_fd(), &mut buffer).expect("received").expect("not closed");
        assert_eq!((received, came.len()), (message, descriptors.len()));
    }
    for message in net_messages() {
        send(net.as_fd(), &message, &[]).expect("sent");
        let received = receive_packet::<NetMessage>(server.as_fd(), &mut buffer).expect("received");
        assert_eq!(received, Some(vec![message]));
    }
    let sent = send_packet(net.as_fd(), &net_messages(), &mut Vec::new()).expect("sent");
    let received = receive_packet::<NetMessage>(server.as_fd(), &mut buffer).expect("received");
    assert_eq!((sent, received), (net_messages().len(), Some(net_messages())));
    assert_eq!(kind(receive_packet::<NetMessage>(server.as_fd(), &mut buffer)), io::ErrorKind::WouldBlock);
    drop(net);
    assert!(receive_packet::<NetMessage>(server.as_fd(), &mut buffer).expect("the end").is_none());
}

#[test]
fn a_message_over_a_limit_is_neither_sent_nor_received() {
    let (server, net) = channel().expect("sockets");
    let mut buffer = vec![0; MESSAGE_MAX];
    let wrong = [
        NetMessage::Resolve { sandbox: 1, query: 3, bytes: vec![7; QUERY_MAX + 1], over_tcp: true },
        NetMessage::Name { flow: 2, sni: Some("a".repeat(NAME_MAX + 1)) },
        NetMessage::Name { flow: 2, sni: Some(String::new()) },
        NetMessage::Name { flow: 2, sni: Some("A.example".to_owned()) },
        NetMessage::Name { flow: 2, sni: Some("a\nb".to_owned()) },
    ];
    for message in wrong {
        assert_eq!(kind(send(net.as_fd(), &message, &[])), io::ErrorKind::InvalidInput);
        let document = serde_json::to_vec(&message).expect("a document");
        send_raw(&net, &document, SendFlags::empty()).expect("sent");
        assert_eq!(kind(receive_packet::<NetMessage>(server.as_fd(), &mut buffer)), io::ErrorKind::InvalidData);
    }
}

#[test]
fn descriptors_come_with_the_messages_that_need_them_and_with_no_other() {
    let (server, net) = channel().expect("sockets");
    let file = File::open("/dev/null").expect("a file");
    let connected = ServerMessage::Connected { flow: 1, check_name: false };
    for descriptors in [vec![], vec![file.as_fd(); 2], vec![file.as_fd(); 3]] {
        assert_eq!(kind(send(server.as_fd(), &connected, &descriptors)), io::ErrorKind::InvalidInput);
    }
    assert_eq!(
        kind(send(server.as_fd(), &ServerMessage::Close { flow: 1 }, &[file.as_fd()])),
        io::ErrorKind::InvalidInput
    );
    send_raw(&server, &serde_json::to_vec(&connected).expect("a document"), SendFlags::empty()).expect("sent");
    let received = receive::<ServerMessage>(net.as_fd(), &mut vec![0; MESSAGE_MAX]);
    assert_eq!(kind(received), io::ErrorKind::InvalidData);
}

#[test]
fn a_packet_holds_a_bounded_number_of_messages_and_nothing_else() {
    let (server, net) = channel().expect("sockets");
    let (mut buffer, mut scratch) = (vec![0; MESSAGE_MAX], Vec::new());
    let many = vec![NetMessage::Ready; PACKET_MESSAGES_MAX + 1];
    assert_eq!(send_packet(net.as_fd(), &many, &mut scratch).expect("sent"), PACKET_MESSAGES_MAX);
    let received = receive_packet::<NetMessage>(server.as_fd(), &mut buffer).expect("received");
    assert_eq!(received.map(|messages| messages.len()), Some(PACKET_MESSAGES_MAX));
    let long = vec![NetMessage::Resolve { sandbox: 1, query: 3, bytes: vec![7; QUERY_MAX], over_tcp: true }; 60];
    let fit = send_packet(net.as_fd(), &long, &mut scratch).expect("sent");
    let received = receive_packet::<NetMessage>(server.as_fd(), &mut buffer).expect("received");
    assert!(fit < long.len() && received == Some(long[..fit].to_vec()), "{fit} of them fit");
    let wrong = [NetMessage::Ready, NetMessage::Name { flow: 2, sni: Some(String::new()) }];
    assert_eq!(kind(send_packet(net.as_fd(), &wrong, &mut scratch)), io::ErrorKind::InvalidInput);
    assert_eq!(kind(send_packet::<NetMessage>(net.as_fd(), &[], &mut scratch)), io::ErrorKind::InvalidInput);
    let ready = r#""ready""#;
    let name = r#"{"name":{"flow":2,"sni":"A"}}"#;
    for packet in [ready.repeat(PACKET_MESSAGES_MAX + 1), format!("{ready}x"), format!("{ready}{name}"), " ".to_owned()]
    {
        send_raw(&net, packet.as_bytes(), SendFlags::empty()).expect("sent");
        let received = receive_packet::<NetMessage>(server.as_fd(), &mut buffer);
        assert_eq!(kind(received), io::ErrorKind::InvalidData, "{packet}");
    }
    let file = File::open("/dev/null").expect("a file");
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [file.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    sendmsg(&net, &[IoSlice::new(ready.as_bytes())], &mut control, SendFlags::empty()).expect("sent");
    let received = receive_packet::<NetMessage>(server.as_fd(), &mut buffer);
    assert_eq!(kind(received), io::ErrorKind::InvalidData, "no message comes with a descriptor");
}

/// As the kernel does it where the receiver may not open more files: here there are more than the buffer takes.
#[test]
fn a_message_whose_descriptors_found_no_room_comes_without_them() {
    let (server, net) = channel().expect("sockets");
    let file = File::open("/dev/null").expect("a file");
    let cut_short = |message: &ServerMessage| {
        let document = serde_json::to_vec(message).expect("a document");
        let descriptors = [file.as_fd(); 8];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        sendmsg(&server, &[IoSlice::new(&document)], &mut control, SendFlags::empty()).expect("sent");
        receive::<ServerMessage>(net.as_fd(), &mut vec![0; MESSAGE_MAX])
    };
    for message in server_messages().into_iter().filter(|message| message.descriptors() > 0) {
        let (received, came) = cut_short(&message).expect("received").expect("not closed");
        assert_eq!((received, came.len()), (message, 0));
    }
    assert_eq!(kind(cut_short(&ServerMessage::Close { flow: 1 })), io::ErrorKind::InvalidData);
}

#[test]
fn a_message_longer_than_any_is_refused() {
    let (server, net) = channel().expect("sockets");
    send_raw(&net, &vec![b' '; MESSAGE_MAX + 1], SendFlags::empty()).expect("sent");
    let received = receive_packet::<NetMessage>(server.as_fd(), &mut vec![0; MESSAGE_MAX]);
    assert_eq!(kind(received), io::ErrorKind::InvalidData);
}

proptest! {
    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 1..2_000)) {
        let (server, net) = channel().expect("sockets");
        send_raw(&net, &bytes, SendFlags::empty()).expect("sent");
        let received = receive_packet::<NetMessage>(server.as_fd(), &mut vec![0; MESSAGE_MAX]);
        prop_assert!(received.is_err());
    }

    #[test]
    fn a_changed_message_keeps_to_the_limits(
        chosen in 0..9_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (server, net) = channel().expect("sockets");
        let mut document = serde_json::to_vec(&net_messages()[chosen]).expect("a document");
        for (place, byte) in changes {
            let place = place.index(document.len());
            document[place] = byte;
        }
        send_raw(&net, &document, SendFlags::empty()).expect("sent");
        if let Ok(Some(messages)) = receive_packet::<NetMessage>(server.as_fd(), &mut vec![0; MESSAGE_MAX]) {
            prop_assert!(messages.iter().all(NetMessage::within_limits));
        }
    }
}
