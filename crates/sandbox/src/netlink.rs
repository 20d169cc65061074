//! Interfaces, addresses and routes of this network namespace: many changes in one message to the kernel.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netdevice, recv, send, socket_with};

/// Bytes of `struct nlmsghdr`.
const HEADER: usize = 16;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;
const IFLA_AF_SPEC: u16 = 26;
/// An answer is some dozens of bytes; a refused request comes back with it.
const ANSWERS: usize = 16 << 10;

/// The socket that leads to the kernel's tables.
pub(crate) struct Routes(OwnedFd);

/// Changes that are made one after the other.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Messages in it; each has its number, counted from 1.
    count: u32,
    /// Those that may fail: IPv6, which a kernel can be without.
    optional: Vec<u32>,
}

// === impl Routes ===

impl Routes {
    pub(crate) fn open() -> io::Result<Self> {
        // Its protocol 0, which is what no protocol means, is that of interfaces and routes.
        Ok(Self(socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?))
    }

    /// The number of an interface.
    pub(crate) fn index(&self, name: &str) -> io::Result<u32> {
        Ok(netdevice::name_to_index(&self.0, name)?)
    }

    /// Makes the changes. The kernel goes on after one that fails; the first error is returned.
    pub(crate) fn send(&self, batch: Batch) -> io::Result<()> {
        let Batch { mut bytes, count, optional } = batch;
        ask_for_answer(&mut bytes);
        send(&self.0, &bytes, SendFlags::empty())?;
        let mut outcome = Ok(());
        let mut answers = vec![0; ANSWERS];
        loop {
            // The kernel has done all of it when the call returns, so an answer is there.
            let (_, length) = recv(&self.0, &mut answers[..], RecvFlags::DONTWAIT)?;
            let (number, error) = error_of(&answers[..length]).ok_or(io::ErrorKind::InvalidData)?;
            if error != 0 && outcome.is_ok() && !optional.contains(&number) {
                outcome = Err(io::Error::from_raw_os_error(-error));
            }
            if number == count {
                return outcome;
            }
        }
    }
}

/// The last message alone is answered where it succeeds; failures always are.
fn ask_for_answer(bytes: &mut [u8]) {
    let mut start = 0;
    while let Some(length) = bytes.get(start..start + 4).and_then(|field| field.try_into().ok()).map(u32::from_ne_bytes)
    {
        let next = start + length as usize;
        if next >= bytes.len() {
            bytes[start + 6] |= libc::NLM_F_ACK as u8;
            return;
        }
        start = next;
    }
}

/// The number of the message that is answered, and how: zero or a negative error.
fn error_of(answer: &[u8]) -> Option<(u32, i32)> {
    let field = |at: usize| answer.get(at..at + 4)?.try_into().ok();
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    if i32::from(kind) != libc::NLMSG_ERROR {
        return None;
    }
    Some((u32::from_ne_bytes(field(8)?), i32::from_ne_bytes(field(HEADER)?)))
}

// === impl Batch ===

impl Batch {
    /// Brings an interface up.
    pub(crate) fn raise(&mut self, interface: u32) {
        let up = libc::IFF_UP as u32;
        self.message(libc::RTM_NEWLINK, 0, &link(interface, up, up), &[]);
    }

    /// Sets the size of packets and how many of them wait for their reader.
    pub(crate) fn shape(&mut self, interface: u32, mtu: u32, queue: u32) {
        let attributes =
            [(libc::IFLA_MTU, mtu.to_ne_bytes().to_vec()), (libc::IFLA_TXQLEN, queue.to_ne_bytes().to_vec())];
        self.message(libc::RTM_NEWLINK, 0, &link(interface, 0, 0), &attributes);
    }

    /// Keeps the kernel from giving the interface an IPv6 address of the link.
    pub(crate) fn without_link_address(&mut self, interface: u32) {
        let mode = attribute(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE]);
        let family = attribute(libc::AF_INET6 as u16, &mode);
        self.message(libc::RTM_NEWLINK, 0, &link(interface, 0, 0), &[(IFLA_AF_SPEC, family)]);
        self.optional.push(self.count);
    }

    /// Gives an interface an address that has no neighbours.
    pub(crate) fn address(&mut self, interface: u32, address: IpAddr) {
        let (family, bytes) = parts(address);
        // Nobody else can have it. The kernel would take some time to find that out, and use the loopback interface's
        // address meanwhile, from which nothing is answered.
        let flags = if address.is_ipv6() { libc::IFA_F_NODAD as u8 } else { 0 };
        // Family, length of the prefix, flags, scope.
        let mut body = vec![family, (bytes.len() * 8) as u8, flags, libc::RT_SCOPE_UNIVERSE];
        body.extend(interface.to_ne_bytes());
        let attributes = [(libc::IFA_LOCAL, bytes.clone()), (libc::IFA_ADDRESS, bytes)];
        self.message(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &body, &attributes);
        self.note_family(address);
    }

    /// Sends everything that has no other way to this interface, which must be up; for the family of an address.
    pub(crate) fn default_route(&mut self, interface: u32, family_of: IpAddr) {
        let (family, _) = parts(family_of);
        let (table, protocol) = (libc::RT_TABLE_MAIN, libc::RTPROT_BOOT);
        // Family, lengths of destination and source, type of service, table, protocol, scope, kind, flags.
        let mut body = vec![family, 0, 0, 0, table, protocol, libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST];
        body.extend(0_u32.to_ne_bytes());
        let attributes = [(libc::RTA_OIF, interface.to_ne_bytes().to_vec())];
        self.message(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &body, &attributes);
        self.note_family(family_of);
    }

    fn note_family(&mut self, address: IpAddr) {
        if address.is_ipv6() {
            self.optional.push(self.count);
        }
    }

    fn message(&mut self, kind: u16, flags: i32, body: &[u8], attributes: &[(u16, Vec<u8>)]) {
        self.count += 1;
        let mut content = body.to_vec();
        attributes.iter().for_each(|(kind, value)| content.extend(attribute(*kind, value)));
        let flags = (libc::NLM_F_REQUEST | flags) as u16;
        self.bytes.extend(((HEADER + content.len()) as u32).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(self.count.to_ne_bytes());
        // The sender's own number, which the kernel knows.
        self.bytes.extend(0_u32.to_ne_bytes());
        self.bytes.extend(content);
    }
}

/// `struct ifinfomsg`.
fn link(interface: u32, flags: u32, change: u32) -> Vec<u8> {
    let fields = [0, interface, flags, change];
    fields.into_iter().flat_map(u32::to_ne_bytes).collect()
}

/// `struct rtattr` with its value, filled up to a multiple of four.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = 4 + value.len();
    let mut bytes = Vec::with_capacity(length.next_multiple_of(4));
    bytes.extend((length as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(length.next_multiple_of(4), 0);
    bytes
}

fn parts(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(address) => (libc::AF_INET as u8, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6 as u8, address.octets().to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_lie_behind_each_other_and_the_last_is_answered() {
        let mut batch = Batch::default();
        batch.raise(1);
        batch.shape(7, 65_520, 128);
        batch.address(7, IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 2]));
        assert_eq!((batch.count, &*batch.optional), (3, &[3][..]));
        ask_for_answer(&mut batch.bytes);
        let (mut rest, mut seen) = (&batch.bytes[..], Vec::new());
        while !rest.is_empty() {
            let length = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
            assert!(length.is_multiple_of(4) && length >= HEADER);
            seen.push((rest[8], rest[6] & libc::NLM_F_ACK as u8 != 0));
            rest = &rest[length..];
        }
        assert_eq!(seen, [(1, false), (2, false), (3, true)]);
        let address = batch.bytes.len() - HEADER - 8 - 2 * 20;
        assert_eq!(batch.bytes[address + HEADER + 2], libc::IFA_F_NODAD as u8, "an address is used at once");
    }

    #[test]
    fn answers_tell_the_message_and_the_error() {
        let mut answer = vec![0; 36];
        answer[4] = libc::NLMSG_ERROR as u8;
        answer[8] = 5;
        answer[HEADER..HEADER + 4].copy_from_slice(&(-17_i32).to_ne_bytes());
        assert_eq!(error_of(&answer), Some((5, -17)));
        assert_eq!(error_of(&answer[..18]), None);
        answer[4] = libc::NLMSG_DONE as u8;
        assert_eq!(error_of(&answer), None);
    }
}
