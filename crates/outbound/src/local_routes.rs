//! What the kernel takes as addresses of this machine beyond those of its interfaces: networks that are routed to it
//! (`ip route add local`), and the anycast address of each subnet that it forwards for (RFC 4291, section 2.6.1).

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Flags of a route in `/proc/net/ipv6_route`, as `linux/ipv6_route.h` has them.
const LOCAL: u32 = 0x8000_0000;
const ANYCAST: u32 = 0x0010_0000;

/// A network whose packets the kernel takes as its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalNetwork {
    /// Its first address.
    pub address: IpAddr,
    /// Bits that its addresses have in common.
    pub bits: u8,
}

// === impl LocalNetwork ===

impl LocalNetwork {
    /// Whether an address belongs to it.
    #[must_use]
    pub fn holds(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// The networks of this process's network namespace. Blocks a little.
///
/// # Errors
/// When a table of the kernel cannot be read. One that is missing, since the kernel lacks the protocol, is empty.
pub(crate) fn read() -> io::Result<Vec<LocalNetwork>> {
    let mut found = table("/proc/net/fib_trie", networks_of_v4)?;
    found.extend(table("/proc/net/ipv6_route", networks_of_v6)?);
    Ok(found)
}

fn table(path: &str, parse: fn(&mut dyn BufRead) -> io::Result<Vec<LocalNetwork>>) -> io::Result<Vec<LocalNetwork>> {
    match File::open(path) {
        Ok(file) => parse(&mut BufReader::new(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Reads a trie: `|-- ADDRESS` is followed by a line `/BITS SCOPE TYPE` for each route of it, in each table.
fn networks_of_v4(text: &mut dyn BufRead) -> io::Result<Vec<LocalNetwork>> {
    let mut found = Vec::new();
    let mut leaf = Ipv4Addr::UNSPECIFIED;
    for line in text.lines() {
        let line = line?;
        let line = line.trim_start();
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.trim_end().parse().map_err(|_| io::ErrorKind::InvalidData)?;
        } else if let Some((bits, of)) = line.strip_prefix('/').and_then(|rest| rest.split_once(' '))
            && of.trim_end().ends_with(" LOCAL")
        {
            let bits = bits.parse().ok().filter(|bits| *bits <= 32).ok_or(io::ErrorKind::InvalidData)?;
            let network = LocalNetwork { address: leaf.into(), bits };
            if !found.contains(&network) {
                found.push(network);
            }
        }
    }
    Ok(found)
}

/// Reads lines of `DESTINATION BITS SOURCE BITS HOP METRIC REFERENCES USE FLAGS DEVICE`, numbers in hexadecimal.
fn networks_of_v6(text: &mut dyn BufRead) -> io::Result<Vec<LocalNetwork>> {
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line?;
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [destination, bits, _, _, _, _, _, _, flags, ..] = fields[..] else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let invalid = |_| io::Error::from(io::ErrorKind::InvalidData);
        if u32::from_str_radix(flags, 16).map_err(invalid)? & (LOCAL | ANYCAST) != 0 {
            let address = Ipv6Addr::from_bits(u128::from_str_radix(destination, 16).map_err(invalid)?);
            let bits = u8::from_str_radix(bits, 16).map_err(invalid)?.min(128);
            found.push(LocalNetwork { address: address.into(), bits });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str, bits: u8) -> LocalNetwork {
        LocalNetwork { address: address.parse().expect(address), bits }
    }

    #[test]
    fn local_routes_of_ipv4_are_found() {
        let text = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 45.99.0.0\n        \
                    /24 host LOCAL\n     |-- 45.99.0.255\n        /32 link BROADCAST\nLocal:\n     |-- 45.99.0.0\n        \
                    /24 host LOCAL\n        /16 link UNICAST\n";
        assert_eq!(networks_of_v4(&mut text.as_bytes()).expect("a trie"), [network("45.99.0.0", 24)]);
        assert!(networks_of_v4(&mut &b"  |-- nonsense\n"[..]).is_err());
    }

    #[test]
    fn local_and_anycast_routes_of_ipv6_are_found() {
        let line = |to: &str, bits: &str, flags: &str| {
            let none = "0".repeat(32);
            format!("{to} {bits} {none} 00 {none} 00000000 00000001 00000000 {flags}       lo\n")
        };
        let text = line("2a0104f8000900000000000000000000", "40", "80000001")
            + &line("2a0104f8000100000000000000000000", "80", "80300001")
            + &line("2a0104f8000200000000000000000000", "40", "00000001");
        let found = networks_of_v6(&mut text.as_bytes()).expect("routes");
        assert_eq!(found, [network("2a01:4f8:9::", 64), network("2a01:4f8:1::", 128)]);
        assert!(networks_of_v6(&mut &b"nonsense\n"[..]).is_err());
    }

    #[test]
    fn a_network_holds_its_addresses_alone() {
        let holds = |address: &str| network("45.99.0.0", 24).holds(address.parse().expect(address));
        assert!(holds("45.99.0.0") && holds("45.99.0.255"));
        assert!(!holds("45.99.1.0") && !holds("2d63::"));
        assert!(network("0.0.0.0", 0).holds("1.2.3.4".parse().expect("an address")));
        assert!(network("2a01:4f8:9::", 64).holds("2a01:4f8:9::5".parse().expect("an address")));
    }

    #[test]
    fn the_loopback_of_this_machine_is_among_them() {
        assert!(read().expect("tables").iter().any(|network| network.holds(Ipv4Addr::LOCALHOST.into())));
    }
}
