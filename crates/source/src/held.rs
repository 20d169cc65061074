//! The temporary directories and processes of this command, which a signal must end and remove.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

static HELD: Mutex<Held> = Mutex::new(Held { dirs: Vec::new(), groups: Vec::new() });

/// What a signal must end and remove.
pub(crate) struct Held {
    pub(crate) dirs: Vec<PathBuf>,
    pub(crate) groups: Vec<Pid>,
}

/// Ends what works in the directories and removes them: the process is about to end.
pub(crate) fn clear() {
    held(|held| {
        for group in held.groups.drain(..) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        for dir in held.dirs.drain(..) {
            // A second time for what a process still wrote that was just ended.
            let _ = fs::remove_dir_all(&dir).or_else(|_| fs::remove_dir_all(&dir));
        }
    });
}

/// Reads or changes it.
pub(crate) fn held<T>(act: impl FnOnce(&mut Held) -> T) -> T {
    act(&mut HELD.lock().unwrap_or_else(PoisonError::into_inner))
}
