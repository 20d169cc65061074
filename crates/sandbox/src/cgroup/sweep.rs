//! Ends what a killed server left in its cgroups.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Layout;

/// How long leftovers may take to disappear.
const PATIENCE: Duration = Duration::from_secs(5);

/// No hierarchy of interest is deeper.
const DEPTH_MAX: usize = 12;

/// Kills every process in cgroups of this `name`, wherever they are, and removes those of sandboxes.
///
/// An earlier server may have been started from another cgroup, so all hierarchies are searched. The name carries the
/// identity of our data directory, which is locked: whatever is inside was started by an earlier server on the same
/// data. Membership decides who is killed, never the name of a process.
pub(crate) fn sweep(layout: &Layout, name: &str) {
    let mut bases = Vec::new();
    layout.mounts.iter().for_each(|mount| find(mount, name, DEPTH_MAX, &mut bases));
    let deadline = Instant::now() + PATIENCE;
    // Counted, so that one that is left does not keep the others from being cleared.
    while bases.iter().filter(|base| !clear(base)).count() > 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(2));
    }
    for base in bases.iter().filter(|base| layout.hierarchies.iter().all(|one| one.base != **base)) {
        // Not ours to use; when it cannot be removed, the next start tries again.
        let _ = fs::remove_dir(base);
    }
}

/// Collects the directories of this `name`.
fn find(directory: &Path, name: &str, depth: usize, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        if entry.file_name() == name {
            found.push(entry.path());
        } else if depth > 0 {
            find(&entry.path(), name, depth - 1, found);
        }
    }
}

/// One attempt; true when nothing is left below `base`.
fn clear(base: &Path) -> bool {
    let Ok(entries) = fs::read_dir(base) else { return true };
    let mut empty = true;
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        kill_members(&entry.path());
        empty &= fs::remove_dir(entry.path()).is_ok();
    }
    empty
}

fn kill_members(directory: &Path) {
    let members = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    for pid in members.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)) {
        // One that is already gone is what we want.
        let _ = kill_process(pid, Signal::KILL);
    }
}
