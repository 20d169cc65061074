//! Ends what a killed server left in its cgroups.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Layout;

/// How long leftovers may take to disappear.
const PATIENCE: Duration = Duration::from_secs(5);

/// Kills every process below the bases of `layout` and removes the cgroups of sandboxes there.
///
/// The bases carry the identity of our data directory, which is locked: whatever is inside was started by an earlier
/// server on the same data. Membership decides, never a process name.
pub(crate) fn sweep(layout: &Layout) {
    let deadline = Instant::now() + PATIENCE;
    while !layout.hierarchies.iter().filter(|one| !clear(&one.base)).count() == 0 {
        if Instant::now() > deadline {
            return;
        }
        thread::sleep(Duration::from_millis(2));
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
