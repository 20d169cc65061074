//! A program without a sandbox, for machines that cannot confine: its keeper and its start.
//!
//! The keeper stands where a sandbox's first process would. It adopts what the program leaves behind and ends all of it
//! when the program or the spawner ends. When the keeper itself is killed, which is how the server kills, the program
//! dies with it and the spawner adopts and ends the rest.

use std::fs::File;
use std::io::{self, Write};
use std::mem::forget;
use std::os::fd::{AsFd, FromRawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, wait};

use super::{Inheritance, Plan, die_with_the_spawner, files, init, report};
use crate::problem::{During, Problem, Step};
use crate::{orphan_reaper, sys};

/// How often orphans are reaped while nothing else happens.
const ROUND: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// The keeper's life. Does not return.
pub(crate) fn run(plan: &Plan, inheritance: Inheritance) -> ! {
    match start(plan, &inheritance) {
        Ok(main) => match keep(main, inheritance) {
            Ok(()) => sys::exit_now(0),
            Err(_) => sys::exit_now(125),
        },
        Err(problem) => report(&inheritance.handover.status, &problem),
    }
}

fn start(plan: &Plan, inheritance: &Inheritance) -> Result<i32, Problem> {
    files::close_others(inheritance).during(Step::Files)?;
    orphan_reaper::adopt_orphans().during(Step::Init)?;
    // SAFETY: this process was forked from a single-threaded one and has started no thread.
    match unsafe { sys::fork() }.during(Step::Init)? {
        Some(main) => Ok(main),
        None => match become_program(plan, inheritance) {
            Ok(()) => sys::exit_now(0),
            Err(problem) => report(&inheritance.handover.status, &problem),
        },
    }
}

fn become_program(plan: &Plan, inheritance: &Inheritance) -> Result<(), Problem> {
    // With its parent, which here is the keeper.
    die_with_the_spawner().during(Step::Init)?;
    rustix::thread::set_no_new_privs(true).during(Step::Privileges)?;
    init::start(plan, inheritance)
}

fn keep(main: i32, inheritance: Inheritance) -> io::Result<()> {
    let (go, mut exit) = keep_only(inheritance)?;
    let program = pidfd_open(Pid::from_raw(main).ok_or(io::ErrorKind::InvalidInput)?, PidfdFlags::empty())?;
    let mut ended = None;
    while ended.is_none() && !files::is_hung_up(&go) {
        let mut fds = [PollFd::new(&program, PollFlags::IN), PollFd::new(&go, PollFlags::empty())];
        // However it ends, what has happened is looked at.
        let _ = poll(&mut fds, Some(&ROUND));
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid.as_raw_pid() == main {
                ended = Some(status.as_raw());
            }
        }
    }
    orphan_reaper::kill_descendants(|_| false);
    if let Some(status) = ended {
        // The write fails when the spawner has ended; the status is then not needed.
        let _ = exit.write_all(&status.to_ne_bytes());
    }
    Ok(())
}

/// Lets go of the program's descriptors: its pipes must close when it closes them.
fn keep_only(inheritance: Inheritance) -> io::Result<(File, File)> {
    let Inheritance { handover, go, exit, entrances, tun } = inheritance;
    sys::dup_onto(go.as_fd(), 0)?;
    sys::dup_onto(exit.as_fd(), 1)?;
    sys::close_range(2, u32::MAX)?;
    // Closed above, all at once.
    forget((handover, go, entrances, exit, tun));
    // SAFETY: both descriptors were made above and have no other owner.
    Ok(unsafe { (File::from_raw_fd(0), File::from_raw_fd(1)) })
}
