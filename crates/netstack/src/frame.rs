//! Frames: an IP packet behind the header of a virtual device, which says what the kernel left to do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use faas_types::NetworkPlan;

/// Bytes of `struct virtio_net_hdr` before each packet.
pub const DEVICE_HEADER: usize = NetworkPlan::HEADER as usize;
/// The device's MTU: no IP packet is longer.
pub const MTU: usize = NetworkPlan::MTU as usize;
/// No frame is longer.
pub const FRAME_MAX: usize = DEVICE_HEADER + MTU;

/// The sender has left the checksum to the receiver.
const NEEDS_CHECKSUM: u8 = 1;
/// Segments of TCP over IPv4 and over IPv6 that the kernel left in one packet; the bit beside them is of ECN.
const WHOLE: u8 = 0;
const SEGMENTS: [u8; 2] = [1, 4];
const WITH_ECN: u8 = 0x80;

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const HOP_LIMIT: u8 = 64;

/// Numbers of protocols in IP headers.
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;

/// The packet in a frame; `None` when the header announces what no packet of ours needs.
pub(crate) fn packet(frame: &[u8]) -> Option<&[u8]> {
    let (header, packet) = frame.split_at_checked(DEVICE_HEADER)?;
    let kind = header[1] & !WITH_ECN;
    (kind == WHOLE || SEGMENTS.contains(&kind)).then_some(packet)
}

/// Bytes of an IP header between two addresses, which are of one family.
pub(crate) fn ip_header_length(address: IpAddr) -> usize {
    if address.is_ipv4() { IPV4_HEADER } else { IPV6_HEADER }
}

/// Writes device header and IP header of a frame whose payload is what follows them. Returns where that begins.
pub(crate) fn write_headers(frame: &mut [u8], source: IpAddr, target: IpAddr, protocol: u8) -> usize {
    frame[..DEVICE_HEADER].fill(0);
    let packet = &mut frame[DEVICE_HEADER..];
    match (source, target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => write_ipv4(packet, source, target, protocol),
        (source, target) => write_ipv6(packet, mapped(source), mapped(target), protocol),
    }
    DEVICE_HEADER + ip_header_length(source)
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn write_ipv4(packet: &mut [u8], source: Ipv4Addr, target: Ipv4Addr, protocol: u8) {
    let length = packet.len() as u16;
    let header = &mut packet[..IPV4_HEADER];
    header.fill(0);
    header[0] = 0x45;
    header[2..4].copy_from_slice(&length.to_be_bytes());
    // Not to be fragmented.
    header[6] = 0x40;
    header[8] = HOP_LIMIT;
    header[9] = protocol;
    header[12..16].copy_from_slice(&source.octets());
    header[16..20].copy_from_slice(&target.octets());
    let checksum = !sum(header, 0);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
}

fn write_ipv6(packet: &mut [u8], source: Ipv6Addr, target: Ipv6Addr, protocol: u8) {
    let length = (packet.len() - IPV6_HEADER) as u16;
    let header = &mut packet[..IPV6_HEADER];
    header.fill(0);
    header[0] = 0x60;
    header[4..6].copy_from_slice(&length.to_be_bytes());
    header[6] = protocol;
    header[7] = HOP_LIMIT;
    header[8..24].copy_from_slice(&source.octets());
    header[24..40].copy_from_slice(&target.octets());
}

/// Leaves the checksum of a TCP or UDP packet to the kernel, which needs none for a program on the same machine.
pub(crate) fn leave_checksum(frame: &mut [u8]) {
    frame[..DEVICE_HEADER].fill(0);
    let (header, packet) = frame.split_at_mut(DEVICE_HEADER);
    let Some((source, target, protocol)) = addresses(packet) else { return };
    let offset = if protocol == TCP { 16 } else { 6 };
    let start = ip_header_length(source);
    if packet.len() < start + offset + 2 {
        return;
    }
    let partial = pseudo_sum(source, target, protocol, packet.len() - start);
    packet[start + offset..start + offset + 2].copy_from_slice(&partial.to_be_bytes());
    header[0] = NEEDS_CHECKSUM;
    header[6..8].copy_from_slice(&(start as u16).to_ne_bytes());
    header[8..10].copy_from_slice(&(offset as u16).to_ne_bytes());
}

/// Addresses and protocol of a packet without options, as this crate and its engine write them.
fn addresses(packet: &[u8]) -> Option<(IpAddr, IpAddr, u8)> {
    let v4 = |from: usize| -> Option<IpAddr> { Some(Ipv4Addr::from(*packet.get(from..)?.first_chunk::<4>()?).into()) };
    let v6 = |from: usize| -> Option<IpAddr> { Some(Ipv6Addr::from(*packet.get(from..)?.first_chunk::<16>()?).into()) };
    match packet.first()? >> 4 {
        4 => Some((v4(12)?, v4(16)?, *packet.get(9)?)),
        _ => Some((v6(8)?, v6(24)?, *packet.get(6)?)),
    }
}

/// The sum of the pseudo header.
pub(crate) fn pseudo_sum(source: IpAddr, target: IpAddr, protocol: u8, length: usize) -> u16 {
    let addresses = match (source, target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => sum(&target.octets(), sum(&source.octets(), 0)),
        (source, target) => sum(&mapped(target).octets(), sum(&mapped(source).octets(), 0)),
    };
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    sum(&length, sum(&[0, protocol], addresses))
}

/// The ones' complement sum of 16-bit words.
pub(crate) fn sum(bytes: &[u8], before: u16) -> u16 {
    let mut words = bytes.chunks_exact(2);
    let mut total = u64::from(before);
    for word in &mut words {
        total += u64::from(u16::from_be_bytes([word[0], word[1]]));
    }
    if let [odd] = words.remainder() {
        total += u64::from(*odd) << 8;
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_left_together_are_taken_and_other_offloads_are_not() {
        let frame = |kind: u8| [&[NEEDS_CHECKSUM, kind, 0, 0, 0, 0, 0, 0, 0, 0][..], &[0x45]].concat();
        for kind in [0, 1, 4, 0x81, 0x84] {
            assert_eq!(packet(&frame(kind)), Some(&[0x45][..]), "{kind}");
        }
        for kind in [2, 3, 5, 0x85, 0x7f] {
            assert_eq!(packet(&frame(kind)), None, "{kind}");
        }
        assert_eq!(packet(&frame(0)[..9]), None);
    }
}
