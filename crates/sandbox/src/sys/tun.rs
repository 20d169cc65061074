//! TUN devices.

use std::ffi::{c_char, c_int, c_short, c_uint, c_ulong};
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::check;

/// Makes a device of this name in the namespace in which `tun` was opened, and attaches the descriptor to it: whole
/// packets, each behind a header of `header` bytes that leaves checksums and segments to the reader. The device stays when
/// the descriptor is closed, and goes with its namespace: taking it down at the last close would take tens of milliseconds.
pub(crate) fn make_tun(tun: BorrowedFd<'_>, name: &str, header: u32) -> io::Result<()> {
    // SAFETY: ifreq is plain bytes and integers.
    let mut request: libc::ifreq = unsafe { zeroed() };
    // The last byte stays zero.
    for (place, byte) in request.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.as_bytes()) {
        *place = *byte as c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as c_short;
    // SAFETY: this request reads and writes an ifreq, which is valid for the call.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF as _, ptr::from_mut(&mut request)) }.into())?;
    let header = header as c_int;
    // SAFETY: this request reads an integer, which is valid for the call.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETVNETHDRSZ as _, ptr::from_ref(&header)) }.into())?;
    set(tun, libc::TUNSETOFFLOAD as _, libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6)?;
    set(tun, libc::TUNSETPERSIST as _, 1)
}

fn set(tun: BorrowedFd<'_>, request: c_ulong, value: c_uint) -> io::Result<()> {
    // SAFETY: the requests used here take a number, not a pointer.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), request as _, c_ulong::from(value)) }.into()).map(drop)
}
