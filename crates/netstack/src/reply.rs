//! Packets that the stack sends without a connection: resets, ICMP errors, datagrams, probes.

use std::net::{IpAddr, SocketAddr};

use smoltcp::wire::TcpPacket;

use crate::frame::{self, DEVICE_HEADER};
use crate::output::{FlowProtocol, FlowRefusal, StackOutput};

const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const ICMP_HEADER: usize = 8;
/// Bytes of the packet in question that an ICMP error repeats.
const REPEATED: usize = 128;

#[cfg(test)]
const FIN: u8 = 1;
#[cfg(test)]
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// Answers a segment that belongs to no connection.
pub(crate) fn reset(packet: &TcpPacket<&[u8]>, source: SocketAddr, target: SocketAddr, output: &mut impl StackOutput) {
    if packet.rst() {
        return;
    }
    if packet.ack() {
        segment(target, source, packet.ack_number().0 as u32, 0, RST, output);
        return;
    }
    let length = packet.payload().len() as u32 + u32::from(packet.syn()) + u32::from(packet.fin());
    let acknowledged = (packet.seq_number().0 as u32).wrapping_add(length);
    segment(target, source, 0, acknowledged, RST | ACK, output);
}

/// Makes a kernel say what it knows of a connection: it answers a bare acknowledgement with its own numbers, and that
/// answer is reset.
pub(crate) fn probe(far: SocketAddr, sandbox: SocketAddr, output: &mut impl StackOutput) {
    segment(far, sandbox, 0, 0, ACK, output);
}

fn segment(
    from: SocketAddr,
    to: SocketAddr,
    sequence: u32,
    acknowledged: u32,
    flags: u8,
    output: &mut impl StackOutput,
) {
    let length = DEVICE_HEADER + frame::ip_header_length(from.ip()) + TCP_HEADER;
    output.transmit(length, |bytes| {
        let start = frame::write_headers(bytes, from.ip(), to.ip(), frame::TCP);
        let header = &mut bytes[start..];
        header.fill(0);
        header[0..2].copy_from_slice(&from.port().to_be_bytes());
        header[2..4].copy_from_slice(&to.port().to_be_bytes());
        header[4..8].copy_from_slice(&sequence.to_be_bytes());
        header[8..12].copy_from_slice(&acknowledged.to_be_bytes());
        header[12] = 5 << 4;
        header[13] = flags;
        frame::leave_checksum(bytes);
    });
}

/// Sends a datagram; one that does not fit into a packet is lost.
pub(crate) fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8], output: &mut impl StackOutput) {
    let length = DEVICE_HEADER + frame::ip_header_length(from.ip()) + UDP_HEADER + payload.len();
    if length > frame::FRAME_MAX {
        return;
    }
    output.transmit(length, |bytes| {
        let start = frame::write_headers(bytes, from.ip(), to.ip(), frame::UDP);
        udp_header(&mut bytes[start..], from, to, payload.len());
        bytes[start + UDP_HEADER..].copy_from_slice(payload);
        frame::leave_checksum(bytes);
    });
}

fn udp_header(header: &mut [u8], from: SocketAddr, to: SocketAddr, payload: usize) {
    header[0..2].copy_from_slice(&from.port().to_be_bytes());
    header[2..4].copy_from_slice(&to.port().to_be_bytes());
    header[4..6].copy_from_slice(&((UDP_HEADER + payload) as u16).to_be_bytes());
    header[6..8].fill(0);
}

/// Says that a packet of the sandbox reached nothing. The program behind it sees `ECONNREFUSED` or `EHOSTUNREACH`; one that
/// sends datagrams over IPv6 `EACCES` in place of the latter.
pub(crate) fn unreachable(
    packet: &[u8],
    (from, to): (IpAddr, IpAddr),
    protocol: FlowProtocol,
    why: FlowRefusal,
    output: &mut impl StackOutput,
) {
    let (kind, code) = match (from, protocol, why) {
        (IpAddr::V4(_), _, FlowRefusal::Denied) => (3, 13),
        (IpAddr::V4(_), _, FlowRefusal::Refused) => (3, 3),
        (IpAddr::V4(_), ..) => (3, 1),
        (IpAddr::V6(_), _, FlowRefusal::Refused) => (1, 4),
        // Linux makes `EACCES` of "administratively prohibited", and tells programs that send datagrams of that and of
        // refused ports alone.
        (IpAddr::V6(_), FlowProtocol::Udp, _) => (1, 1),
        (IpAddr::V6(_), FlowProtocol::Tcp, _) => (1, 3),
    };
    let protocol = if from.is_ipv4() { frame::ICMP } else { frame::ICMPV6 };
    let repeated = &packet[..packet.len().min(REPEATED)];
    let length = DEVICE_HEADER + frame::ip_header_length(from) + ICMP_HEADER + repeated.len();
    output.transmit(length, |bytes| {
        let start = frame::write_headers(bytes, from, to, protocol);
        let message = &mut bytes[start..];
        message[..ICMP_HEADER].fill(0);
        message[0] = kind;
        message[1] = code;
        message[ICMP_HEADER..].copy_from_slice(repeated);
        let before = if from.is_ipv4() { 0 } else { frame::pseudo_sum(from, to, protocol, message.len()) };
        let checksum = !frame::sum(message, before);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
    });
}

/// The head of a datagram that a sandbox sent, for an ICMP error about it.
pub(crate) fn datagram_head(source: SocketAddr, target: SocketAddr) -> Vec<u8> {
    let mut bytes = vec![0; DEVICE_HEADER + frame::ip_header_length(source.ip()) + UDP_HEADER];
    let start = frame::write_headers(&mut bytes, source.ip(), target.ip(), frame::UDP);
    udp_header(&mut bytes[start..], source, target, 0);
    bytes.split_off(DEVICE_HEADER)
}

/// Whether a segment opens a connection.
pub(crate) fn opens(packet: &TcpPacket<&[u8]>) -> bool {
    packet.syn() && !packet.ack() && !packet.rst() && !packet.fin()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::StackEvent;
    use crate::packet::{Content, Packet};

    #[derive(Default)]
    struct Kept(Vec<Vec<u8>>);

    impl StackOutput for Kept {
        fn transmit<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
            let mut frame = vec![0xaa; length];
            let result = fill(&mut frame);
            self.0.push(frame);
            result
        }

        fn event(&mut self, _event: StackEvent<'_>) {}
    }

    fn ends() -> [(SocketAddr, SocketAddr); 2] {
        ["192.0.0.2:40000 1.2.3.4:80", "[fdfa:a5::2]:40000 [2001:db8::1]:80"].map(|pair| {
            let (source, target) = pair.split_once(' ').expect("a pair");
            (source.parse().expect("an address"), target.parse().expect("an address"))
        })
    }

    #[test]
    fn what_is_sent_parses_and_its_checksums_hold() {
        for (source, target) in ends() {
            let mut kept = Kept::default();
            datagram(source, target, b"payload", &mut kept);
            probe(source, target, &mut kept);
            for frame in &kept.0 {
                let packet = Packet::parse(frame).unwrap_or_else(|why| panic!("{why:?}: {frame:?}"));
                assert_eq!((packet.source, packet.target), (source, target));
                match packet.content {
                    Content::Udp(payload) => assert_eq!(payload, b"payload"),
                    Content::Tcp(segment) => assert!(segment.ack() && segment.payload().is_empty()),
                }
                let start = DEVICE_HEADER + frame::ip_header_length(source.ip());
                assert!(source.is_ipv6() || frame::sum(&frame[DEVICE_HEADER..start], 0) == 0xffff);
                assert_eq!(usize::from(u16::from_ne_bytes([frame[6], frame[7]])), start - DEVICE_HEADER);
            }
        }
    }

    #[test]
    fn an_error_repeats_the_packet_and_its_checksum_holds() {
        for (source, target) in ends() {
            let mut kept = Kept::default();
            let head = datagram_head(source, target);
            unreachable(&head, (target.ip(), source.ip()), FlowProtocol::Udp, FlowRefusal::Refused, &mut kept);
            let frame = &kept.0[0];
            let start = DEVICE_HEADER + frame::ip_header_length(source.ip());
            let message = &frame[start..];
            assert_eq!(message[ICMP_HEADER..], head);
            let (kind, before) = if source.is_ipv4() {
                ([3, 3], 0)
            } else {
                ([1, 4], frame::pseudo_sum(target.ip(), source.ip(), frame::ICMPV6, message.len()))
            };
            assert_eq!(message[..2], kind);
            assert_eq!(frame::sum(message, before), 0xffff);
        }
    }

    #[test]
    fn programs_that_send_datagrams_are_told_what_their_kernel_passes_on() {
        let code = |(source, target): (SocketAddr, SocketAddr), protocol, why| {
            let mut kept = Kept::default();
            unreachable(&datagram_head(source, target), (target.ip(), source.ip()), protocol, why, &mut kept);
            let start = DEVICE_HEADER + frame::ip_header_length(source.ip());
            [kept.0[0][start], kept.0[0][start + 1]]
        };
        let [v4, v6] = ends();
        for (why, over_v4, datagram, segment) in [
            (FlowRefusal::Denied, [3, 13], [1, 1], [1, 3]),
            (FlowRefusal::Unreachable, [3, 1], [1, 1], [1, 3]),
            (FlowRefusal::Refused, [3, 3], [1, 4], [1, 4]),
        ] {
            assert_eq!((code(v4, FlowProtocol::Udp, why), code(v4, FlowProtocol::Tcp, why)), (over_v4, over_v4));
            assert_eq!((code(v6, FlowProtocol::Udp, why), code(v6, FlowProtocol::Tcp, why)), (datagram, segment));
        }
    }

    #[test]
    fn a_reset_is_not_answered_with_a_reset() {
        for (source, target) in ends() {
            let mut kept = Kept::default();
            for flags in [RST, RST | ACK, ACK, SYN, FIN] {
                segment(source, target, 5, 9, flags, &mut kept);
            }
            let sent = std::mem::take(&mut kept.0);
            for frame in &sent {
                let packet = Packet::parse(frame).unwrap_or_else(|why| panic!("{why:?}"));
                if let Content::Tcp(segment) = packet.content {
                    reset(&segment, packet.source, packet.target, &mut kept);
                }
            }
            let numbers: Vec<_> = kept
                .0
                .iter()
                .map(|frame| match Packet::parse(frame).map(|packet| packet.content) {
                    Ok(Content::Tcp(reset)) if reset.rst() => (reset.seq_number().0, reset.ack_number().0),
                    _ => panic!("not a reset"),
                })
                .collect();
            assert_eq!(numbers, [(9, 0), (0, 6), (0, 6)]);
        }
    }
}
