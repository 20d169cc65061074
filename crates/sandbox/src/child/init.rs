//! The first process of a sandbox: starts the program, reaps orphans, ends when the program ends.

use std::fs::File;
use std::io::{self, Write};
use std::mem::forget;
use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{Mode, OFlags};

use super::plan::Main;
use super::{Inheritance, Plan, limits, port_forward, probe, report};
use crate::limits::Limits;
use crate::problem::{During, Problem, Step};
use crate::spawner_protocol::Confinement;
use crate::sys;

/// Runs the program as a child. When it ends, this process ends, and the kernel kills whatever else is inside.
pub(super) fn run(plan: &Plan, mut inheritance: Inheritance) -> ! {
    if let Some(order) = inheritance.handover.order.take() {
        // SAFETY: as below.
        match unsafe { sys::fork() } {
            Ok(None) => port_forward::run(order),
            Ok(Some(_)) => {}
            Err(error) => report(&inheritance.handover.status, &Problem::new(Step::Init, "", &error)),
        }
    }
    // SAFETY: this process was made by a clone of a single-threaded one and has started no thread.
    match unsafe { sys::fork() } {
        Ok(None) => match start(plan, &inheritance) {
            Ok(()) => sys::exit_now(0),
            Err(problem) => report(&inheritance.handover.status, &problem),
        },
        Ok(Some(main)) => reap_until(main, inheritance),
        Err(error) => report(&inheritance.handover.status, &Problem::new(Step::Init, "", &error)),
    }
}

/// Reaps until `main` ends, tells how it ended and ends.
pub(super) fn reap_until(main: i32, inheritance: Inheritance) -> ! {
    let mut exit = match keep_only(inheritance) {
        Ok(exit) => exit,
        Err(_) => sys::exit_now(125),
    };
    loop {
        match sys::reap(-1) {
            Ok((pid, reaped)) if pid == main => {
                // The write fails when the spawner has ended; the status is then not needed.
                let _ = exit.write_all(&reaped.status.to_ne_bytes());
                sys::exit_now(0)
            }
            Ok(_) => {}
            Err(_) => sys::exit_now(125),
        }
    }
}

/// Lets go of the program's descriptors: its pipes must close when it closes them.
fn keep_only(inheritance: Inheritance) -> io::Result<File> {
    let Inheritance { handover, go, exit, entrances, tun } = inheritance;
    sys::dup_onto(exit.as_fd(), 0)?;
    sys::close_range(1, u32::MAX)?;
    // Closed above, all at once.
    forget((handover, go, entrances, exit, tun));
    // SAFETY: descriptor 0 was made above and has no other owner.
    Ok(unsafe { <File as std::os::fd::FromRawFd>::from_raw_fd(0) })
}

/// The child's part: returns only for a probe, which has then run.
pub(super) fn start(plan: &Plan, inheritance: &Inheritance) -> Result<(), Problem> {
    let cwd = || plan.cwd.to_string_lossy();
    rustix::process::chdir(plan.cwd.as_c_str()).during_with(Step::WorkingDirectory, cwd())?;
    rustix::process::setsid().during(Step::Init)?;
    rustix::process::umask(Mode::from(0o022));
    // The spawner ignores these; a new program would, too.
    sys::set_signals(&sys::IGNORED, false);
    place_files(inheritance).during(Step::Files)?;
    match &plan.program {
        Main::Exec { argv, env } => {
            let mut limits = plan.limits;
            if plan.is_parked || plan.confinement == Confinement::Zygote {
                // The assigner lowers what follows from it. A limit once lowered can never be raised.
                limits.memory_bytes = u64::MAX >> 1;
            }
            limits::apply(&limits, plan.has_memory_cgroup).during(Step::Limits)?;
            let error = sys::exec(&argv[0], argv, env);
            Err(Problem::new(Step::Exec, argv[0].to_string_lossy(), &error))
        }
        Main::Fork => Err(std::io::ErrorKind::InvalidInput).during(Step::Request),
        Main::Probe(targets) => {
            // The cgroup is to be probed, not the process limits that stand in for it. What this process has mapped, as a
            // fork of the spawner, is beyond that of memory already: it could not allocate another page.
            let limits = Limits { pids: u32::MAX, ..plan.limits };
            limits::apply(&limits, true).during(Step::Limits)?;
            probe::run(targets, &plan.limits);
            Ok(())
        }
    }
}

/// Descriptors 0 to 3 are the program's; the rest is closed, apart from the status pipe, which closes on exec.
fn place_files(inheritance: &Inheritance) -> io::Result<()> {
    let handover = &inheritance.handover;
    let null = rustix::fs::open(c"/dev/null", OFlags::RDWR, Mode::empty())?;
    let status = handover.status.as_raw_fd() as u32;
    // Everything has a number above 3 (see `spawner`), so nothing is overwritten before it is copied.
    sys::dup_onto(null.as_fd(), 0)?;
    sys::dup_onto(handover.stdout.as_fd(), 1)?;
    sys::dup_onto(handover.stderr.as_fd(), 2)?;
    sys::dup_onto(handover.channel.as_fd(), 3)?;
    forget(null);
    sys::close_range(4, status - 1)?;
    sys::close_range(status + 1, u32::MAX)
}
