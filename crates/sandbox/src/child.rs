//! What runs between the clone and the program: the sandbox confines itself from the inside.
//!
//! Two phases. *Prepare* needs nothing of what will run: namespaces, cgroup, identity, a fresh `/proc` and `/dev`.
//! *Furnish* attaches the layers and closes the doors; then the program starts. A parked sandbox (`parking`) waits with
//! its program running, and gets the function's layers from a process that it keeps for that (`assigner`).
//!
//! The order within them is forced by the kernel. Layers and the file of network devices are opened first, because they
//! are reachable only for the user that the server runs as; the switch to the sandbox's own user comes before any file is made in a
//! new tmpfs, because those want an owner that is mapped; capabilities go when the last mount is done; the filter
//! comes last, because it refuses most of what happened before.

mod assigner;
mod devices;
mod files;
mod init;
mod limits;
mod mounts;
mod network;
mod parking;
mod plain;
mod plan;
mod port_forward;
mod privileges;
mod probe;
mod procfs;
mod zygote;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use libc::sock_filter;
use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
use rustix::thread::UnshareFlags;

pub(crate) use assigner::{AssignOutcome, Order};
pub(crate) use mounts::detached_layer;
pub(crate) use plan::Plan;
pub(crate) use port_forward::{ConnectReply, ConnectRequest};
pub(crate) use privileges::{LOCKED, drop_capabilities, keep_over_setuid};
pub(crate) use probe::Finding;
pub(crate) use procfs::existing_masks;

use crate::packet::send;
use crate::problem::{During, Problem, Step};
use crate::spawner_protocol::{Confinement, Handover};
use crate::sys;

/// The user and group inside every sandbox.
pub(crate) const INSIDE_ID: u32 = 1000;

/// The descriptors that a child starts with.
pub(crate) struct Inheritance {
    pub(crate) handover: Handover,
    /// Gives one byte when the user and group maps have been written; closes when the spawner dies.
    pub(crate) go: File,
    /// Takes the main program's wait status.
    pub(crate) exit: File,
    /// The `cgroup.procs` files to join. Empty when the clone itself did that.
    pub(crate) entrances: Vec<File>,
    /// What a network device can be made of: from the set-up until an assigner has it or its device is with the server.
    pub(crate) tun: Option<OwnedFd>,
}

/// A sandbox without layers.
struct Blank {
    devices: devices::Devices,
    proc: OwnedFd,
}

/// The child's life. Does not return, neither to the spawner's loop nor by unwinding.
pub(crate) fn run(plan: &Plan, mut inheritance: Inheritance, filter: &[sock_filter]) -> ! {
    match plan.confinement {
        Confinement::Plain => plain::run(plan, inheritance),
        Confinement::Zygote => zygote::run(plan, inheritance),
        Confinement::Sandbox => {}
    }
    match set_up(plan, &mut inheritance, filter) {
        Ok(()) if plan.is_parked => parking::run(plan, inheritance, filter),
        Ok(()) => init::run(plan, inheritance),
        Err(problem) => report(&inheritance.handover.status, &problem),
    }
}

/// Tells the server what went wrong and ends the process.
fn report(status: &OwnedFd, problem: &Problem) -> ! {
    if let (Ok(status), Ok(text)) = (status.try_clone(), serde_json::to_vec(problem)) {
        // The server has gone when this fails, and the sandbox goes with it.
        let _ = File::from(status).write_all(&text);
    }
    sys::exit_now(125)
}

fn set_up(plan: &Plan, inheritance: &mut Inheritance, filter: &[sock_filter]) -> Result<(), Problem> {
    files::close_others(inheritance).during(Step::Files)?;
    die_with_the_spawner().during(Step::Init)?;
    join_cgroups(&mut inheritance.entrances)?;
    // Afterwards, so that this cgroup is the root of what the sandbox sees.
    unshare_cgroup().during(Step::CgroupNamespace)?;
    let layers = mounts::Sources::open(plan)?;
    let devices = devices::Sources::open()?;
    let tun = network::open_tun(plan);
    wait_for_identity(&mut inheritance.go)?;
    // A child that ends before it has an identity is taken for one that could not get it.
    inheritance.tun = tun?;
    let blank = prepare(devices)?;
    if !plan.is_parked {
        bring_up_network(plan, inheritance)?;
    }
    furnish(plan, blank, layers)?;
    if !plan.is_parked {
        privileges::drop_all(filter)?;
    }
    // Changing the user has switched this off.
    die_with_the_spawner().during(Step::Init)?;
    if files::is_hung_up(&inheritance.go) {
        sys::exit_now(125);
    }
    Ok(())
}

fn die_with_the_spawner() -> rustix::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))
}

/// After an idle time the first of these writes waits for an RCU grace period of the kernel: some eight milliseconds,
/// which only a sandbox that has joined beforehand avoids (or a machine where any cgroup hierarchy is mounted with
/// `favordynmods`). The child waits here rather than the spawner, so that sandboxes which are opened together wait
/// together.
fn join_cgroups(entrances: &mut Vec<File>) -> Result<(), Problem> {
    for mut entrance in entrances.drain(..) {
        entrance.write_all(b"0").during(Step::JoinCgroup)?;
    }
    Ok(())
}

fn unshare_cgroup() -> std::io::Result<()> {
    // SAFETY: a cgroup namespace has no effect on memory or descriptors.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWCGROUP) }.map_err(Into::into)
}

fn wait_for_identity(go: &mut File) -> Result<(), Problem> {
    go.read_exact(&mut [0]).during(Step::Identity)?;
    privileges::become_inside_user().during(Step::Identity)?;
    // From here on the sandbox's programs have the same user as this process, whose memory and paths are not theirs.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).during(Step::Identity)
}

/// The device goes to the server over the socket that port forwarding uses afterwards.
fn bring_up_network(plan: &Plan, inheritance: &mut Inheritance) -> Result<(), Problem> {
    let tun = inheritance.tun.take();
    network::bring_up(plan.network, tun.as_ref().map(AsFd::as_fd))?;
    if let (Some(order), Some(tun)) = (&inheritance.handover.order, &tun) {
        send(order.as_fd(), &AssignOutcome::Ok(()), &[tun.as_fd()]).during(Step::Network)?;
    }
    if !plan.port_forward {
        inheritance.handover.order = None;
    }
    Ok(())
}

fn prepare(devices: devices::Sources) -> Result<Blank, Problem> {
    sys::set_host_name("sandbox").during(Step::HostName)?;
    let devices = devices::Devices::prepare(devices).during(Step::Devices)?;
    let proc = procfs::prepare().during(Step::Proc)?;
    Ok(Blank { devices, proc })
}

fn furnish(plan: &Plan, blank: Blank, layers: mounts::Sources) -> Result<(), Problem> {
    let root = layers.attach(plan)?;
    procfs::attach_masked(&root, &blank.proc, &blank.devices, &plan.masks).during(Step::Proc)?;
    blank.devices.attach(&root, plan.limits.tmp_bytes).during(Step::Devices)?;
    mounts::attach_tmp(&root, plan.limits.tmp_bytes).during(Step::Tmp)?;
    mounts::pivot(&root).during(Step::Pivot)
}
