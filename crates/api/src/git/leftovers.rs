//! What pushes leave that were ended in their middle: files, locks, and processes that a killed server could not end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::runtime::Handle;

/// How often removing a push's files is tried, and the pause between.
const REMOVALS: usize = 50;
const REMOVAL_PAUSE: Duration = Duration::from_millis(100);
/// How the names of directories begin in which git keeps the objects of a push until it is accepted.
const APART: [&str; 2] = ["tmp_objdir-", "incoming-"];
/// The same of files of packs that are being written.
const DRAFTS: [&str; 3] = ["tmp_", ".tmp-", "tmp-"];

/// At a server's start, before it takes pushes: no push is under way in any repository below `dir`.
pub(super) fn sweep(dir: &Path, scratch: &Path) {
    if scratch.exists() {
        end_processes(scratch);
        if let Err(error) = fs::remove_dir_all(scratch) {
            tracing::warn!(%error, "what earlier pushes left cannot be removed");
        }
    }
    for project in entries(dir) {
        let is_repository = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "git");
        for repository in entries(&project).into_iter().filter(is_repository) {
            sweep_repository(&repository);
            if matches!(is_empty(&repository), Ok(true))
                && let Err(error) = fs::remove_dir_all(&repository)
            {
                tracing::warn!(%error, "a git repository without a branch cannot be removed");
            }
        }
    }
}

/// Removes what pushes left in a repository that no push is changing now.
pub(super) fn sweep_repository(path: &Path) {
    let begins = |entry: &Path, heads: &[&str]| {
        entry.file_name().is_some_and(|name| heads.iter().any(|head| name.to_string_lossy().starts_with(head)))
    };
    let objects = path.join("objects");
    let apart = entries(&objects).into_iter().filter(|entry| begins(entry, &APART));
    let drafts = entries(&objects.join("pack")).into_iter().filter(|entry| begins(entry, &DRAFTS));
    let mut left: Vec<PathBuf> = apart.chain(drafts).collect();
    // Of a branch that is being written; git never takes an old lock away.
    let is_lock = |entry: &PathBuf| entry.extension().is_some_and(|extension| extension == "lock");
    left.extend(entries(path).into_iter().filter(is_lock));
    collect(&path.join("refs"), &mut left, &is_lock);
    for entry in left {
        let removed = if entry.is_dir() { fs::remove_dir_all(&entry) } else { fs::remove_file(&entry) };
        if let Err(error) = removed {
            tracing::warn!(%error, "what a push left in a git repository cannot be removed");
        }
    }
}

/// Whether a repository has no branch.
///
/// # Errors
/// When it cannot be read, which says nothing about its branches.
pub(super) fn is_empty(repository: &Path) -> io::Result<bool> {
    let packed = match fs::read_to_string(repository.join("packed-refs")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    Ok(!packed.lines().any(|line| line.contains(" refs/heads/")) && !has_file(&repository.join("refs").join("heads"))?)
}

/// Whether there is a file below a directory, at any depth.
fn has_file(dir: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        read => read?,
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_type()?.is_dir() || has_file(&entry.path())? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes a directory in the background; processes that were just ended may still write for a moment.
pub(super) fn remove_soon(path: PathBuf) {
    let remove = move || {
        for _ in 0..REMOVALS {
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => std::thread::sleep(REMOVAL_PAUSE),
                _ => return,
            }
        }
        tracing::warn!("what a push laid out cannot be removed");
    };
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(remove)),
        Err(_) => remove(),
    }
}

/// Ends the processes of pushes whose server was killed: they have a directory below `scratch` in their environment.
fn end_processes(scratch: &Path) {
    let mark = [b"TMPDIR=", scratch.as_os_str().as_encoded_bytes(), b"/push-"].concat();
    for process in entries(Path::new("/proc")) {
        let id = process.file_name().and_then(|name| name.to_str()?.parse().ok()).and_then(Pid::from_raw);
        // The descriptor first: the number may be given to another process at any time.
        let Some(Ok(handle)) = id.map(|id| pidfd_open(id, PidfdFlags::empty())) else { continue };
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(&mark)) {
            let _ = pidfd_send_signal(&handle, Signal::KILL);
        }
    }
}

/// The files below a directory that are wanted.
fn collect(dir: &Path, found: &mut Vec<PathBuf>, is_wanted: &impl Fn(&PathBuf) -> bool) {
    for entry in entries(dir) {
        if entry.is_dir() {
            collect(&entry, found, is_wanted);
        } else if is_wanted(&entry) {
            found.push(entry);
        }
    }
}

/// The paths in a directory; none where it cannot be read.
fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
