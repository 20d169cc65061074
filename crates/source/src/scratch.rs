//! Directories for the files of one command. They are gone when it ends, also by a signal; what a killed one leaves, the
//! next command removes that makes one.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::process::{Pid, geteuid};
use tempfile::TempDir;

use crate::held::held;
use crate::interrupt;

const PREFIX: &str = "faas-scratch-";
/// How often a directory is made anew that another command takes for abandoned.
const ATTEMPTS: usize = 5;

/// A directory of this process alone. Dropping it removes it.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
    /// Marks the directory as in use; the system releases the lock when the process ends, however it ends.
    _lock: File,
}

/// A group of processes that works in such a directory.
pub struct Worker {
    group: Option<Pid>,
}

// === impl Scratch ===

impl Scratch {
    /// Makes a directory below the system's temporary one, and removes those that are not in use any more.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new() -> io::Result<Self> {
        interrupt::listen(None);
        let home = std::env::temp_dir();
        sweep(&home);
        for _ in 0..ATTEMPTS {
            let dir = TempDir::with_prefix_in(PREFIX, &home)?;
            let lock = File::open(dir.path())?;
            hold(&lock)?;
            // Another command's sweep may have been faster than the lock.
            if fs::metadata(dir.path()).is_ok_and(|there| there.ino() == lock.metadata().map_or(0, |own| own.ino())) {
                held(|held| held.dirs.push(dir.path().to_owned()));
                return Ok(Self { dir, _lock: lock });
            }
        }
        Err(io::Error::other("a temporary directory is removed as soon as it is made"))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        held(|held| held.dirs.retain(|dir| dir != self.dir.path()));
    }
}

// === impl Worker ===

impl Worker {
    /// The group that this process leads.
    pub fn of(id: u32) -> Self {
        let group = Pid::from_raw(id.cast_signed());
        held(|held| held.groups.extend(group));
        Self { group }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        held(|held| held.groups.retain(|group| Some(*group) != self.group));
    }
}

/// Marks a directory as in use. Where the file system cannot lock directories, as NFS, that is left out: a sweep
/// gets no lock there either, and removes nothing.
fn hold(dir: &File) -> io::Result<()> {
    match flock(dir, FlockOperation::LockExclusive) {
        Err(Errno::BADF | Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        held => held.map_err(io::Error::from),
    }
}

/// Removes the directories of this user's commands that have ended.
fn sweep(home: &Path) {
    let entries = fs::read_dir(home).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let flags = (OFlags::DIRECTORY | OFlags::NOFOLLOW).bits().cast_signed();
        let Ok(dir) = OpenOptions::new().read(true).custom_flags(flags).open(entry.path()) else { continue };
        let is_own = dir.metadata().is_ok_and(|meta| meta.uid() == geteuid().as_raw());
        if is_own && flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_holds_is_swept() {
        let home = tempfile::tempdir().expect("a directory");
        let make = |name: &str| {
            let dir = home.path().join(name);
            fs::create_dir(&dir).expect("made");
            fs::write(dir.join("file"), "x").expect("written");
            dir
        };
        let (held, left, other) = (make("faas-scratch-held"), make("faas-scratch-left"), make("faas-other"));
        std::os::unix::fs::symlink(&other, home.path().join("faas-scratch-link")).expect("a link");
        let lock = File::open(&held).expect("open");
        flock(&lock, FlockOperation::LockExclusive).expect("locked");
        sweep(home.path());
        assert!(held.join("file").exists() && other.join("file").exists() && !left.exists());
        drop(lock);
        sweep(home.path());
        assert!(!held.exists() && other.join("file").exists());
    }

    #[test]
    fn a_file_system_without_locks_is_used_without_them() {
        let home = tempfile::tempdir().expect("a directory");
        // As the kernel answers for a directory of NFS that is open for reading.
        let flags = (OFlags::PATH | OFlags::DIRECTORY).bits().cast_signed();
        let dir = OpenOptions::new().read(true).custom_flags(flags).open(home.path()).expect("open");
        assert_eq!(flock(&dir, FlockOperation::LockExclusive), Err(Errno::BADF));
        hold(&dir).expect("it goes on without a lock");
    }

    #[test]
    fn one_is_gone_when_it_is_dropped() {
        let scratch = Scratch::new().expect("made");
        let path = scratch.path().to_owned();
        fs::write(path.join("file"), "x").expect("written");
        drop(scratch);
        assert!(!path.exists());
    }
}
