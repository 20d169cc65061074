//! Kills process trees by descent, where no namespace and no cgroup holds them together.
//!
//! The caller is a subreaper, so orphans stay its descendants. A tree that forks faster than it is read escapes for a
//! while; only a namespace ends such a tree for certain.

use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};

use crate::sys;

/// Processes that survive SIGKILL for this long are stuck in the kernel.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes this process the parent of every descendant that loses its own.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1).map(drop)
}

/// Kills and reaps all descendants, apart from `spared` children and what is below them.
pub(crate) fn kill_descendants(spared: impl Fn(i32) -> bool) {
    let own = std::process::id().cast_signed();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let doomed = descendants(own, &processes(), &spared);
        if doomed.is_empty() || Instant::now() > deadline {
            return;
        }
        for (pid, parent) in doomed {
            kill(pid, parent);
            if parent == own {
                // One that has not ended yet is met again.
                let _ = waitpid(Pid::from_raw(pid), WaitOptions::NOHANG);
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Pid and parent of every process below `root`.
fn descendants(root: i32, all: &[(i32, i32)], spared: &impl Fn(i32) -> bool) -> Vec<(i32, i32)> {
    let mut found: Vec<(i32, i32)> = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for (pid, _) in all.iter().filter(|(pid, above)| *above == parent && !(parent == root && spared(*pid))) {
            found.push((*pid, parent));
            parents.push(*pid);
        }
    }
    found
}

/// Pid and parent of every process.
fn processes() -> Vec<(i32, i32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, parent(pid)?))
        })
        .collect()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// The number may be somebody else's by now: the descriptor fixes whose it is before the parent is looked at again.
fn kill(pid: i32, above: i32) {
    let Some(Ok(pidfd)) = Pid::from_raw(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty())) else { return };
    if parent(pid) == Some(above) {
        let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_below_spared_children_are_left_alone() {
        let all = [(2, 1), (3, 1), (4, 2), (5, 3), (6, 5), (7, 9)];
        assert_eq!(descendants(1, &all, &|pid| pid == 2), [(3, 1), (5, 3), (6, 5)]);
    }
}
