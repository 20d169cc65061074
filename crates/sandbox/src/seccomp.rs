//! The system call filter: everything is refused but what ordinary programs need.

mod arguments;
mod calls;
mod filter;
mod network;

use libc::sock_filter;

/// The filter of every sandbox. Built once; it does not depend on what runs inside.
///
/// Refusals are errors rather than signals so that runtimes which probe for a feature go on without it: calls that an
/// unprivileged program cannot use get `EPERM`, calls that a C library replaces by older ones get `ENOSYS`. Only a
/// foreign calling convention (i386, x32) kills: honest programs have no use for it.
pub(crate) fn program() -> Vec<sock_filter> {
    filter::assemble(&calls::rules())
}

/// The filter of the process that speaks for sandboxes: it works on descriptors that it is given, and can make none.
pub(crate) fn network_program() -> Vec<sock_filter> {
    filter::assemble(&network::rules())
}
