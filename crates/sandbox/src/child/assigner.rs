//! Mounts a function's layers into a parked sandbox and sets its limits, once, then exits.
//!
//! It reads one order from a socket that no other process inside holds, carries it out, drops its capabilities and only
//! then answers. The server sends the function's name and code after that answer. Programs inside have the assigner's user,
//! but cannot look into it: it is not dumpable, and they are behind the filter.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use faas_types::NetworkMode;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use serde::{Deserialize, Serialize};

use super::files::alone_with;
use super::limits::largest_file;
use super::mounts::{attach, open_target};
use super::network;
use crate::limits::Limits;
use crate::packet::{receive, send};
use crate::problem::{During, Problem, Step};
use crate::sys;

/// What a parked sandbox gets, sent with one detached mount for each target.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) targets: Vec<PathBuf>,
    pub(crate) limits: Limits,
    pub(crate) network: NetworkMode,
}

/// The answer, sent with the network device where the order asked for one.
pub(crate) type AssignOutcome = Result<(), Problem>;

/// Carries out one order. Does not return.
///
/// `tun` is the file that a network device can be made of.
pub(super) fn run(order: OwnedFd, tun: Option<OwnedFd>, main: i32) -> ! {
    let alone = match tun {
        Some(tun) => alone_with([order, tun]).map(|[order, tun]| (order, Some(tun))),
        None => alone_with([order]).map(|[order]| (order, None)),
    };
    let Ok((order, tun)) = alone else { sys::exit_now(125) };
    if let Ok(Some((wanted, mounts))) = receive::<Order>(order.as_fd()) {
        let delivered: AssignOutcome = deliver(&wanted, &mounts, &tun, main).and_then(|()| give_up());
        drop(mounts);
        // When the server has gone, so has the sandbox.
        let _ = send(order.as_fd(), &delivered, &network::to_the_server(wanted.network, &tun));
    }
    sys::exit_now(0)
}

fn deliver(order: &Order, mounts: &[OwnedFd], tun: &Option<OwnedFd>, main: i32) -> AssignOutcome {
    if mounts.len() != order.targets.len() {
        return Err(io::ErrorKind::InvalidInput).during(Step::Assign);
    }
    let root = rustix::fs::open(c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).during(Step::Root)?;
    for (mount, target) in mounts.iter().zip(&order.targets) {
        let place = || -> io::Result<()> {
            let below = target.strip_prefix("/").unwrap_or(target);
            let below = CString::new(Path::as_os_str(below).as_bytes())?;
            Ok(attach(mount.as_fd(), open_target(root.as_fd(), &below)?.as_fd())?)
        };
        place().during_with(Step::Root, target.to_string_lossy())?;
    }
    network::bring_up(order.network, tun.as_ref().map(AsFd::as_fd))?;
    let file = Some(largest_file(&order.limits));
    prlimit(Pid::from_raw(main), Resource::Fsize, Rlimit { current: file, maximum: file })
        .map(drop)
        .during(Step::Limits)
}

/// From here on this process is as weak as any other inside, and all that it does is to answer and end.
fn give_up() -> AssignOutcome {
    let none = CapabilitySet::empty();
    rustix::thread::set_no_new_privs(true).during(Step::Privileges)?;
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .during(Step::Privileges)
}
