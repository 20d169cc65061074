//! The network as a sandbox sees it from the inside.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Addresses and sizes of the network inside, the same in every sandbox. The addresses are of ranges that no network
/// routes: `192.0.0.0/29` (RFC 7335) and a unique local prefix.
#[derive(Clone, Copy, Debug)]
pub struct NetworkPlan;

// === impl NetworkPlan ===

impl NetworkPlan {
    /// The sandbox's own address.
    pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 2);
    /// Gateway and name server.
    pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 1);
    /// The sandbox's own IPv6 address.
    pub const ADDRESS_V6: Ipv6Addr = Ipv6Addr::new(0xfdfa, 0xa5, 0, 0, 0, 0, 0, 2);
    /// Gateway by IPv6.
    pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfdfa, 0xa5, 0, 0, 0, 0, 0, 1);
    /// Bytes of the largest packet, without the header before it.
    pub const MTU: u32 = 65_520;
    /// Bytes of the `virtio_net_hdr` before each packet: the form without a count of buffers.
    pub const HEADER: u32 = 10;
    /// Packets that wait in the device for their reader; the kernel drops further ones.
    pub const QUEUE: u32 = 128;
}
