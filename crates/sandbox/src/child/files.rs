//! The descriptors of a child.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, poll};

use super::Inheritance;
use crate::sys;

/// Closes everything that the child has from its spawner and does not need: control socket, other sandboxes.
pub(super) fn close_others(inheritance: &Inheritance) -> io::Result<()> {
    let mut kept: Vec<u32> = inheritance.handover.borrow().iter().map(|fd| fd.as_raw_fd() as u32).collect();
    kept.extend([&inheritance.go, &inheritance.exit].map(|file| file.as_raw_fd() as u32));
    kept.extend(inheritance.entrances.iter().map(|file| file.as_raw_fd() as u32));
    kept.sort_unstable();
    let mut first = 0;
    for fd in kept {
        if fd > first {
            sys::close_range(first, fd - 1)?;
        }
        first = fd + 1;
    }
    sys::close_range(first, u32::MAX)
}

/// Keeps no descriptors but these, which get the numbers from 0 on.
pub(super) fn alone_with<const N: usize>(kept: [OwnedFd; N]) -> io::Result<[OwnedFd; N]> {
    // Everything has a number above 3 (see `spawner`), so nothing is overwritten before it is copied.
    const { assert!(N <= 4) };
    for (number, fd) in kept.iter().enumerate() {
        sys::dup_onto(fd.as_fd(), number as RawFd)?;
    }
    sys::close_range(N as u32, u32::MAX)?;
    // Closed above.
    std::mem::forget(kept);
    // SAFETY: these descriptors were made above and have no other owner.
    Ok(std::array::from_fn(|number| unsafe { OwnedFd::from_raw_fd(number as RawFd) }))
}

/// Whether the other end of a pipe is closed.
pub(super) fn is_hung_up(pipe: &File) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::empty())];
    let none = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&none)).is_ok() && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}
