//! Socket pairs whose other end is inside a sandbox.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

/// `SO_PASSRIGHTS`, since Linux 6.16; the C library's headers do not name it yet.
const SO_PASSRIGHTS: libc::c_int = 83;

/// Makes a socket pair: the server's end and the one that goes into a sandbox.
///
/// Nothing can pass a descriptor to the server's end. A descriptor that arrives with bytes is closed by the thread that
/// reads them, and a last close takes as long as the one who opened it wants: with a lingering connection for hours, and
/// as long as it takes to free a large anonymous file. `EPERM` meets the sender instead, and bytes go on.
///
/// Kernels before 6.16 cannot refuse. There the system call filter keeps connections from lingering, so that freeing
/// memory within the function's own limit is what remains.
pub(crate) fn pair(kind: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, inner) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    refuse_descriptors(std::os::fd::AsFd::as_fd(&ours))?;
    Ok((ours, inner))
}

/// Whether this kernel could do so.
fn refuse_descriptors(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let off: libc::c_int = 0;
    // SAFETY: the value is an integer that outlives the call, and its size is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PASSRIGHTS,
            std::ptr::from_ref(&off).cast(),
            size_of_val(&off) as libc::socklen_t,
        )
    };
    match (result, io::Error::last_os_error()) {
        (0, _) => Ok(true),
        (_, error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(false),
        (_, error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::packet::send_bytes;

    #[test]
    fn bytes_pass_to_the_server_and_descriptors_do_not() -> io::Result<()> {
        for kind in [SocketType::STREAM, SocketType::SEQPACKET] {
            let (ours, inner) = pair(kind)?;
            let passed = send_bytes(inner.as_fd(), b"frame", &[inner.as_fd()]);
            if refuse_descriptors(ours.as_fd())? {
                assert_eq!(passed.map_err(|error| error.kind()), Err(io::ErrorKind::PermissionDenied), "{kind:?}");
            }
            send_bytes(inner.as_fd(), b"frame", &[])?;
            send_bytes(ours.as_fd(), b"order", &[ours.as_fd()])?;
        }
        Ok(())
    }
}
