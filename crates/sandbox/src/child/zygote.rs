//! A program that is forked to fill sandboxes.
//!
//! It has the layers of its runtime, a private `/tmp` and nothing else: no network, no view of processes, no
//! descriptor of the spawner, no capability. Its user is the spawner's, and that is what lets a fork of it enter a
//! sandbox: the user that made a user namespace has all capabilities in it, and none outside.

use super::{Inheritance, Plan, devices, die_with_the_spawner, files, init, join_cgroups, mounts, privileges, report};
use crate::problem::{During, Problem, Step};
use crate::sys;

/// Becomes the zygote. Does not return.
pub(super) fn run(plan: &Plan, mut inheritance: Inheritance) -> ! {
    match set_up(plan, &mut inheritance).and_then(|()| init::start(plan, &inheritance)) {
        Ok(()) => sys::exit_now(0),
        Err(problem) => report(&inheritance.handover.status, &problem),
    }
}

fn set_up(plan: &Plan, inheritance: &mut Inheritance) -> Result<(), Problem> {
    files::close_others(inheritance).during(Step::Files)?;
    die_with_the_spawner().during(Step::Init)?;
    join_cgroups(&mut inheritance.entrances)?;
    let layers = mounts::Sources::open(plan)?;
    let devices = devices::Devices::prepare(devices::Sources::open()?).during(Step::Devices)?;
    mounts::keep_private().during(Step::Root)?;
    let root = layers.attach(plan)?;
    devices.attach(&root, plan.limits.tmp_bytes).during(Step::Devices)?;
    mounts::attach_tmp(&root, plan.limits.tmp_bytes).during(Step::Tmp)?;
    mounts::pivot(&root).during(Step::Pivot)?;
    privileges::drop_capabilities().during(Step::Privileges)?;
    rustix::thread::set_no_new_privs(true).during(Step::Privileges)?;
    die_with_the_spawner().during(Step::Init)?;
    if files::is_hung_up(&inheritance.go) {
        sys::exit_now(125);
    }
    Ok(())
}
