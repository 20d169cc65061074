//! The reading end of a sandbox's socket.
//!
//! A descriptor that arrives with bytes on a Unix socket is closed by the thread that reads them, and a last close can take
//! long: as long as freeing the memory of a large anonymous file takes, for example. On kernels that can refuse descriptors
//! the sandbox's socket does (`SO_PASSRIGHTS`, since Linux 6.16). On others a thread for each sandbox reads the socket and
//! passes the bytes on through a pipe, so that no worker that serves others ever waits for such a close.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::LazyLock;

use bytes::Bytes;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::net::unix::pipe;

/// The first release of Linux with `SO_PASSRIGHTS`.
const REFUSES_SINCE: (u32, u32) = (6, 16);
/// Bytes that the thread reads at once.
const RELAY_LEN: usize = 64 << 10;

/// Parts of a read buffer that are shorter are copied out of it where they are kept.
const SHARED_MIN: usize = 64 << 10;

/// Whether sockets of this kernel can refuse descriptors.
static REFUSES_DESCRIPTORS: LazyLock<bool> = LazyLock::new(|| {
    let release = nix::sys::utsname::uname().ok();
    release.and_then(|name| version(name.release().to_str()?)).is_some_and(|version| version >= REFUSES_SINCE)
});

/// Bytes that may be kept for long: a few of them do not hold on to the whole buffer that they were read into.
pub(crate) fn detached(part: Bytes) -> Bytes {
    if part.len() < SHARED_MIN { Bytes::copy_from_slice(&part) } else { part }
}

/// Takes over the server's end of a sandbox's socket: what is read from, and what is written to.
pub(crate) fn split(channel: OwnedFd) -> io::Result<(pipe::Receiver, UnixStream)> {
    split_as(channel, *REFUSES_DESCRIPTORS)
}

fn split_as(channel: OwnedFd, refuses_descriptors: bool) -> io::Result<(pipe::Receiver, UnixStream)> {
    let writer = UnixStream::from(channel);
    writer.set_nonblocking(true)?;
    let socket = writer.try_clone()?;
    if refuses_descriptors {
        // A pipe's receiver asks the kernel for one direction alone.
        return Ok((pipe::Receiver::from_owned_fd_unchecked(socket.into())?, writer));
    }
    let (out, into) = io::pipe()?;
    std::thread::Builder::new().name("channel".to_owned()).spawn(move || relay(socket, into))?;
    Ok((pipe::Receiver::from_owned_fd(out.into())?, writer))
}

/// Reads until the sandbox has gone, also when what is read is not used any more: a socket must be
/// read to its end before it is closed.
fn relay(mut socket: UnixStream, into: io::PipeWriter) {
    let (mut buffer, mut into) = (vec![0; RELAY_LEN], Some(into));
    loop {
        match socket.read(&mut buffer) {
            Ok(count) if count > 0 => into = into.filter(|mut into| into.write_all(&buffer[..count]).is_ok()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
                if poll(&mut ready, PollTimeout::NONE).is_err_and(|error| error != Errno::EINTR) {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}

/// Major and minor of a kernel's release, such as `6.18.5-arch1`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::BytesMut;
    use tokio::io::AsyncReadExt;

    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        assert_eq!(version("6.18.5-arch1-1"), Some((6, 18)));
        assert_eq!(version("6.9.0"), Some((6, 9)));
        assert!(version("6.9.0") < Some(REFUSES_SINCE) && version("10.0-rc1") >= Some(REFUSES_SINCE));
        assert_eq!(version("unknown"), None);
    }

    #[tokio::test]
    async fn bytes_pass_both_ways_and_the_end_is_seen_with_and_without_a_thread() {
        for refuses in [true, false] {
            let (ours, mut theirs) = UnixStream::pair().expect("sockets");
            let (mut reader, mut writer) = split_as(ours.into(), refuses).expect("both halves");
            writer.write_all(b"order").expect("written");
            let mut order = [0; 5];
            theirs.read_exact(&mut order).expect("read");
            assert_eq!(&order, b"order");
            let sent = vec![7; 300_000];
            let sending = std::thread::spawn(move || theirs.write_all(&sent).map(|()| drop(theirs)));
            let (mut buffer, mut total) = (BytesMut::with_capacity(RELAY_LEN), 0);
            loop {
                buffer.clear();
                let reading = tokio::time::timeout(Duration::from_secs(10), reader.read_buf(&mut buffer));
                match reading.await.expect("in time").expect("read") {
                    0 => break,
                    count => total += count,
                }
            }
            sending.join().expect("no panic").expect("sent");
            assert_eq!(total, 300_000, "refuses descriptors: {refuses}");
        }
    }
}
