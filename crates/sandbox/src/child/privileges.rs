//! Giving up power, for good.

use std::io;

use libc::sock_filter;
use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, set_capabilities, set_thread_res_gid, set_thread_res_uid,
};

use super::INSIDE_ID;
use crate::problem::{During, Problem, Step};
use crate::sys;

/// `SECBIT_NO_SETUID_FIXUP`: changing users leaves capabilities alone.
const KEEP_OVER_SETUID: libc::c_ulong = 1 << 2;
/// Every bit but `SECBIT_KEEP_CAPS`, each with its lock: user 0 has no special rights, and dropped capabilities never come
/// back.
pub(crate) const LOCKED: libc::c_ulong = 0xEF;

/// Becomes the sandbox's user, keeping the capabilities in the new user namespace that the set-up needs.
pub(super) fn become_inside_user() -> io::Result<()> {
    keep_over_setuid()?;
    let (uid, gid) = (Uid::from_raw(INSIDE_ID), Gid::from_raw(INSIDE_ID));
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Lets capabilities outlive a change of the user.
pub(crate) fn keep_over_setuid() -> io::Result<()> {
    sys::prctl(libc::PR_SET_SECUREBITS, KEEP_OVER_SETUID).map(drop)
}

/// Drops every capability from every set, forbids gaining any, and installs the filter.
pub(super) fn drop_all(filter: &[sock_filter]) -> Result<(), Problem> {
    drop_capabilities().during(Step::Privileges)?;
    rustix::thread::set_no_new_privs(true).during(Step::Privileges)?;
    sys::install_filter(filter).during(Step::Seccomp)
}

/// Empties every capability set, for good.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    for capability in 0..64 {
        match sys::prctl(libc::PR_CAPBSET_DROP, capability) {
            // Past the last one that this kernel knows.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            other => other?,
        };
    }
    rustix::thread::clear_ambient_capability_set()?;
    sys::prctl(libc::PR_SET_SECUREBITS, LOCKED)?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(())
}
