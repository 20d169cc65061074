//! Resource limits of each process.

use rustix::io::Result;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits::Limits;

/// Address space beyond the heap, for thread stacks above all, where only single processes can be limited.
const DATA_SLACK: u64 = 128 << 20;
/// Memory that a process may lock. The kernel charges it to the server's user as well, who has 8 MiB as a rule: a
/// sandbox must not be able to use that up for all others.
const LOCKED_MEMORY: u64 = 64 << 10;
/// Signals and timers that may be pending, charged in the same way; that user has some ten thousand.
const PENDING_SIGNALS: u64 = 256;

/// Sets them for this process and all that it starts.
///
/// Where a cgroup counts the tree, the process limit is only a second fence. It counts within the sandbox's own user
/// namespace, so that without a cgroup it still bounds the tree. Core dumps are the spawner's to forbid: the filter, which
/// is there by now, refuses to touch that limit.
pub(super) fn apply(limits: &Limits, has_memory_cgroup: bool) -> Result<()> {
    lower(Resource::Nofile, limits.open_files)?;
    lower(Resource::Fsize, largest_file(limits))?;
    lower(Resource::Memlock, LOCKED_MEMORY)?;
    lower(Resource::Sigpending, PENDING_SIGNALS)?;
    // The sandbox's first process counts as well.
    lower(Resource::Nproc, u64::from(limits.pids).saturating_add(1))?;
    if !has_memory_cgroup {
        // Not the address space: runtimes reserve far more of it than they use.
        lower(Resource::Data, limits.memory_bytes.saturating_add(DATA_SLACK))?;
    }
    Ok(())
}

/// The largest file that fits into /tmp or memory; running into /tmp's own size gives the better error.
pub(super) fn largest_file(limits: &Limits) -> u64 {
    limits.tmp_bytes.max(limits.memory_bytes).saturating_add(1 << 20)
}

fn lower(resource: Resource, wanted: u64) -> Result<()> {
    let value = getrlimit(resource).maximum.map_or(wanted, |maximum| maximum.min(wanted));
    setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
}
