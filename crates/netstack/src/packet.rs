//! What a sandbox sent: packets that are well formed and of a kind that is served.

use std::net::{IpAddr, SocketAddr};

use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket};

use crate::frame;

/// One packet.
pub(crate) struct Packet<'a> {
    /// The sandbox's end.
    pub(crate) source: SocketAddr,
    /// The far end.
    pub(crate) target: SocketAddr,
    /// From the IP header to the end.
    pub(crate) bytes: &'a [u8],
    pub(crate) content: Content<'a>,
}

/// What an IP packet carries.
pub(crate) enum Content<'a> {
    Tcp(TcpPacket<&'a [u8]>),
    /// The payload.
    Udp(&'a [u8]),
}

/// Why a frame is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unserved {
    Malformed,
    Fragment,
}

impl<'a> Packet<'a> {
    /// Parses a frame. The kernel on the other side of the device leaves checksums out, so they are not looked at.
    pub(crate) fn parse(frame: &'a [u8]) -> Result<Self, Unserved> {
        let bytes = frame::packet(frame).ok_or(Unserved::Malformed)?;
        match bytes.first().map(|byte| byte >> 4) {
            Some(4) => Self::parse_v4(bytes),
            Some(6) => Self::parse_v6(bytes),
            _ => Err(Unserved::Malformed),
        }
    }

    fn parse_v4(bytes: &'a [u8]) -> Result<Self, Unserved> {
        let packet = Ipv4Packet::new_checked(bytes).map_err(|_| Unserved::Malformed)?;
        if packet.more_frags() || packet.frag_offset() != 0 {
            return Err(Unserved::Fragment);
        }
        // Options ask routers for things; there is no router.
        if packet.header_len() != 20 {
            return Err(Unserved::Malformed);
        }
        let bytes = &bytes[..usize::from(packet.total_len())];
        let addresses = (IpAddr::V4(packet.src_addr()), IpAddr::V4(packet.dst_addr()));
        Self::parse_content(bytes, 20, addresses, packet.next_header())
    }

    fn parse_v6(bytes: &'a [u8]) -> Result<Self, Unserved> {
        let packet = Ipv6Packet::new_checked(bytes).map_err(|_| Unserved::Malformed)?;
        if packet.next_header() == IpProtocol::Ipv6Frag {
            return Err(Unserved::Fragment);
        }
        let bytes = &bytes[..packet.total_len()];
        let addresses = (IpAddr::V6(packet.src_addr()), IpAddr::V6(packet.dst_addr()));
        Self::parse_content(bytes, 40, addresses, packet.next_header())
    }

    fn parse_content(
        bytes: &'a [u8],
        header: usize,
        (source, target): (IpAddr, IpAddr),
        protocol: IpProtocol,
    ) -> Result<Self, Unserved> {
        let (source_port, target_port, content) = match protocol {
            IpProtocol::Tcp => {
                let packet = TcpPacket::new_checked(&bytes[header..]).map_err(|_| Unserved::Malformed)?;
                (packet.src_port(), packet.dst_port(), Content::Tcp(packet))
            }
            IpProtocol::Udp => {
                let packet = UdpPacket::new_checked(&bytes[header..]).map_err(|_| Unserved::Malformed)?;
                (packet.src_port(), packet.dst_port(), Content::Udp(packet.payload()))
            }
            _ => return Err(Unserved::Malformed),
        };
        if source_port == 0 || target_port == 0 {
            return Err(Unserved::Malformed);
        }
        let (source, target) = (SocketAddr::new(source, source_port), SocketAddr::new(target, target_port));
        Ok(Self { source, target, bytes, content })
    }
}
