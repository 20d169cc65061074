//! Connections that a sandbox still has when the process that carried them has ended.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use faas_net::protocol::SandboxConnection;

/// Connections that are looked for in one sandbox.
const CONNECTIONS_MAX: usize = 8_192;
/// Bytes of a table that are read: a line has 150.
const TABLE_MAX: u64 = 4 << 20;
/// The states that are over or never began: `TIME_WAIT`, `CLOSE` and `LISTEN`.
const OVER: [u8; 3] = [0x06, 0x07, 0x0a];

/// The connections of a sandbox to other machines, by its first process. Blocks a little.
pub(super) fn orphans(process: BorrowedFd<'_>) -> Vec<SandboxConnection> {
    let Some(pid) = pid_of(process) else { return Vec::new() };
    let mut found = Vec::new();
    for table in ["tcp", "tcp6"] {
        let Ok(file) = File::open(format!("/proc/{pid}/net/{table}")) else { continue };
        let lines = BufReader::new(file.take(TABLE_MAX)).lines().map_while(Result::ok);
        let connections = lines.filter_map(|line| read(&line)).filter(|connection| !connection.address.is_loopback());
        found.extend(connections.take(CONNECTIONS_MAX - found.len()));
    }
    found
}

/// The process that a pidfd is of; `None` once it has ended.
fn pid_of(process: BorrowedFd<'_>) -> Option<u32> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", process.as_raw_fd())).ok()?;
    info.lines().find_map(|line| line.strip_prefix("Pid:")).and_then(|pid| pid.trim().parse().ok())
}

/// One line of such a table; `None` for its head, and for connections that are over.
fn read(line: &str) -> Option<SandboxConnection> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (source, source_port) = end(fields.next()?)?;
    let (address, port) = end(fields.next()?)?;
    let state = u8::from_str_radix(fields.next()?, 16).ok()?;
    (!OVER.contains(&state) && port != 0).then_some(SandboxConnection { source, source_port, address, port })
}

/// `0100007F:1F90`: each four bytes of the address as the machine's number.
fn end(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let octets: [u8; 16] = words.concat().try_into().ok()?;
            let address = Ipv6Addr::from(octets);
            address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4)
        }
        _ => return None,
    };
    Some((address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_of_the_kernels_table_are_read() {
        let line = "   1: 020000C0:9C40 08080808:01BB 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0000 20 4 30 10 -1";
        let connection = read(line).expect("a connection");
        let ends =
            (connection.source.to_string(), connection.source_port, connection.address.to_string(), connection.port);
        assert_eq!(ends, ("192.0.0.2".into(), 40_000, "8.8.8.8".into(), 443));
        assert_eq!(read("  sl  local_address rem_address   st tx_queue"), None);
        assert_eq!(read(&line.replace(" 01 0", " 0A 0")), None, "one that listens");
        let mapped = "0: 0000000000000000FFFF0000020000C0:9C40 0000000000000000FFFF000008080808:01BB 01";
        assert_eq!(read(mapped).map(|connection| connection.address.to_string()).as_deref(), Some("8.8.8.8"));
    }

    #[test]
    fn a_process_that_is_here_has_a_table() {
        let own = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty());
        let own = own.expect("a pidfd");
        assert_eq!(pid_of(own.as_fd()), Some(std::process::id()));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let _stream = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        assert!(orphans(own.as_fd()).iter().all(|connection| !connection.address.is_loopback()));
    }
}
