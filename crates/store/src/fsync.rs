//! Makes files durable, and says so when the disk has failed.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::config::OnFatal;

/// Calls `fsync` and its kin. A failure other than a full disk is fatal: the kernel may have dropped the pages, and the
/// next call would succeed without them.
#[derive(Clone)]
pub(crate) struct Fsync {
    on_fatal: OnFatal,
}

// === impl Fsync ===

impl Fsync {
    pub(crate) fn new(on_fatal: OnFatal) -> Self {
        Self { on_fatal }
    }

    /// The bytes of a file.
    pub(crate) fn file(&self, file: &File) -> io::Result<()> {
        self.judge(file.sync_all())
    }

    /// The entries of a directory: a rename survives a power cut only after this.
    pub(crate) fn dir(&self, dir: &Path) -> io::Result<()> {
        let dir = File::open(dir)?;
        self.judge(dir.sync_all())
    }

    /// Everything on the file system of `dir`: one call for a tree of twenty thousand files.
    pub(crate) fn tree(&self, dir: &Path) -> io::Result<()> {
        let dir = File::open(dir)?;
        self.judge(rustix::fs::syncfs(dir).map_err(io::Error::from))
    }

    fn judge(&self, synced: io::Result<()>) -> io::Result<()> {
        synced.inspect_err(|error| {
            if !matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
                (self.on_fatal)(&format!("cannot make files durable: {error}"));
            }
        })
    }
}

impl fmt::Debug for Fsync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fsync").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn only_a_failed_disk_is_fatal() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let fsync = Fsync::new(Arc::new(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
        }));
        let dir = tempfile::tempdir().expect("temp dir");
        fsync.dir(dir.path()).expect("sync a directory");
        fsync.tree(dir.path()).expect("sync a file system");
        fsync.dir(&dir.path().join("absent")).expect_err("an absent directory");
        fsync.judge(Err(ErrorKind::StorageFull.into())).expect_err("full");
        assert_eq!(calls.load(Ordering::SeqCst), 0);
        fsync.judge(Err(io::Error::from_raw_os_error(5))).expect_err("EIO");
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        // A pipe cannot be synced: the failure of a real call.
        let (reader, _writer) = io::pipe().expect("pipe");
        fsync.file(&File::from(std::os::fd::OwnedFd::from(reader))).expect_err("a pipe");
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }
}
