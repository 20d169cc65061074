//! The network of a sandbox.
//!
//! What goes out leaves by a TUN device, whose descriptor is the server's alone: no program inside ever has it. The file is
//! opened before the sandbox becomes another user and loses the host's `/dev`; a device is made of it only for a function
//! that has a network. Its addresses and routes need capabilities, which programs inside do not have.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use faas_types::{NetworkMode, NetworkPlan};
use rustix::fs::{Mode, OFlags};

use super::Plan;
use crate::netlink::{Batch, Routes};
use crate::problem::{During, Problem, Step};
use crate::sys;

/// As programs inside see it.
const NAME: &str = "eth0";
/// The first interface of every namespace.
const LOOPBACK: u32 = 1;
const TUN: &CStr = c"/dev/net/tun";

/// Opens the file that a device can be made of. It belongs to the network namespace in which it is opened.
///
/// A parked sandbox does so in case its function has a network; that costs microseconds.
pub(super) fn open_tun(plan: &Plan) -> Result<Option<OwnedFd>, Problem> {
    let open = || rustix::fs::open(TUN, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
    match plan.network {
        NetworkMode::Egress => open().during_with(Step::Network, TUN.to_string_lossy()).map(Some),
        // Where it cannot be had, an assignment that asks for a network fails.
        _ if plan.is_parked => Ok(open().ok()),
        _ => Ok(None),
    }
}

/// Brings up what a sandbox with this network has.
pub(super) fn bring_up(network: NetworkMode, tun: Option<BorrowedFd<'_>>) -> Result<(), Problem> {
    match (network, tun) {
        (NetworkMode::None, _) => Ok(()),
        (NetworkMode::Loopback, _) => sys::loopback_up().during(Step::Loopback),
        (NetworkMode::Egress, Some(tun)) => make_device(tun),
        (NetworkMode::Egress, None) => Err(std::io::Error::from_raw_os_error(libc::ENODEV)).during(Step::Network),
    }
}

/// All in one message to the kernel.
fn make_device(tun: BorrowedFd<'_>) -> Result<(), Problem> {
    sys::make_tun(tun, NAME, NetworkPlan::HEADER).during_with(Step::Network, "device")?;
    let configure = || -> std::io::Result<()> {
        let routes = Routes::open()?;
        let device = routes.index(NAME)?;
        let mut batch = Batch::default();
        batch.raise(LOOPBACK);
        // Nobody else is on this link, so that it needs no address of its own there, nor to look for neighbours.
        batch.without_link_address(device);
        batch.shape(device, NetworkPlan::MTU, NetworkPlan::QUEUE);
        batch.raise(device);
        batch.address(device, NetworkPlan::ADDRESS.into());
        batch.default_route(device, NetworkPlan::ADDRESS.into());
        batch.address(device, NetworkPlan::ADDRESS_V6.into());
        batch.default_route(device, NetworkPlan::ADDRESS_V6.into());
        routes.send(batch)
    };
    configure().during_with(Step::Network, "addresses")
}

/// The descriptors that go to the server with the word that all is done.
pub(super) fn to_the_server(network: NetworkMode, tun: &Option<OwnedFd>) -> Vec<BorrowedFd<'_>> {
    tun.iter().filter(|_| network == NetworkMode::Egress).map(AsFd::as_fd).collect()
}
