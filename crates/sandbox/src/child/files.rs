//! The descriptors of a child.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

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

/// Keeps no descriptor but this one, which becomes descriptor 0.
pub(super) fn alone_with(order: OwnedFd) -> io::Result<OwnedFd> {
    sys::dup_onto(order.as_fd(), 0)?;
    sys::close_range(1, u32::MAX)?;
    // Closed above.
    std::mem::forget(order);
    // SAFETY: descriptor 0 was made above and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(0) })
}

/// Whether the other end of a pipe is closed.
pub(super) fn is_hung_up(pipe: &File) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::empty())];
    let none = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&none)).is_ok() && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}
