//! A sandbox that is opened before it is known for whom.
//!
//! Everything is as in any other sandbox, the program included, but for the layers of the function. One process more
//! waits inside for them: the assigner, the only one that still has capabilities (in the sandbox's user namespace). See
//! `assigner`.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use libc::sock_filter;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use super::plan::Main;
use super::{Inheritance, Plan, assigner, die_with_the_spawner, init, privileges, report};
use crate::problem::{During, Problem, Step};
use crate::sys;

/// The life of a parked sandbox's first process. Does not return.
pub(super) fn run(plan: &Plan, mut inheritance: Inheritance, filter: &[sock_filter]) -> ! {
    match settle(plan, &mut inheritance, filter) {
        Ok(main) => init::reap_until(main, inheritance),
        Err(problem) => report(&inheritance.handover.status, &problem),
    }
}

/// Answers with the program's process number.
fn settle(plan: &Plan, inheritance: &mut Inheritance, filter: &[sock_filter]) -> Result<i32, Problem> {
    let (order, tun) = (inheritance.handover.order.take(), inheritance.tun.take());
    let main = match (&plan.program, inheritance.handover.door.take()) {
        (Main::Fork, Some(door)) => admit(door)?,
        _ => start(plan, inheritance, filter)?,
    };
    let order = order.ok_or(std::io::ErrorKind::InvalidInput).during(Step::Request)?;
    // SAFETY: this process has a single thread.
    if unsafe { sys::fork() }.during(Step::Init)?.is_none() {
        assigner::run(order, tun, main);
    }
    drop((order, tun));
    privileges::drop_all(filter)?;
    die_with_the_spawner().during(Step::Init)?;
    Ok(main)
}

/// Lets a zygote's fork in. It gives up its power and becomes our child by itself.
fn admit(door: OwnedFd) -> Result<i32, Problem> {
    let mut door = File::from(door);
    let mut number = [0; 4];
    // Who enters must be allowed to look into the process whose namespaces it enters. For as long as that takes, nobody
    // else is inside.
    set_dumpable_behavior(DumpableBehavior::Dumpable).during(Step::Fork)?;
    let met = door.write_all(&[1]).and_then(|()| door.read_exact(&mut number));
    set_dumpable_behavior(DumpableBehavior::NotDumpable).during(Step::Fork)?;
    met.during(Step::Fork)?;
    match i32::from_ne_bytes(number) {
        main @ 2.. => Ok(main),
        _ => Err(std::io::ErrorKind::InvalidData).during(Step::Fork),
    }
}

/// Starts the program as a child that gives up its power first.
fn start(plan: &Plan, inheritance: &Inheritance, filter: &[sock_filter]) -> Result<i32, Problem> {
    // SAFETY: this process was made by a clone of a single-threaded one and has started no thread.
    match unsafe { sys::fork() }.during(Step::Init)? {
        Some(main) => Ok(main),
        None => match privileges::drop_all(filter).and_then(|()| init::start(plan, inheritance)) {
            Ok(()) => sys::exit_now(0),
            Err(problem) => report(&inheritance.handover.status, &problem),
        },
    }
}
