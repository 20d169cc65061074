//! Blobs as files named by their hash.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use faas_ports::{Blobs, PortError, PortResult, StoredBlob};
use faas_types::{Digest, Timestamp};
use parking_lot::Mutex;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};
use rustix::io::Errno;
use tokio::sync::Semaphore;

use crate::StoreError;
use crate::fsync::Fsync;
use crate::shared::Shared;

/// Reads and writes at once: each holds a whole file in memory.
const AT_ONCE: usize = 16;
/// How long a call waits for its turn.
const WAIT: Duration = Duration::from_secs(60);
const DRAFTS: &str = ".draft";
const CORRUPT: &str = ".corrupt";

/// `blobs/ab/cdef…`: the digest in hexadecimal, cut after its first byte.
#[derive(Debug)]
pub(crate) struct FileBlobs {
    shared: Arc<Shared>,
    tree: Tree,
    turns: Arc<Semaphore>,
}

/// The directory; its methods block.
#[derive(Clone, Debug)]
struct Tree {
    root: Arc<Path>,
    fsync: Fsync,
    drafts: Arc<AtomicU64>,
    /// Held while a file takes or leaves its name, so that mending and setting aside do not cross.
    naming: Arc<Mutex<()>>,
    /// Blobs whose bytes were found whole, and the time that their file had then: one that others write to has another.
    whole: Arc<Mutex<HashMap<Digest, Duration>>>,
}

/// Blobs that are remembered as whole; more are looked at again.
const WHOLE_MAX: usize = 200_000;

// === impl FileBlobs ===

impl FileBlobs {
    pub(crate) fn open(shared: Arc<Shared>) -> Result<Self, StoreError> {
        let tree = Tree {
            root: shared.dir.path().join("blobs").into(),
            fsync: shared.fsync.clone(),
            drafts: Arc::default(),
            naming: Arc::default(),
            whole: Arc::default(),
        };
        tree.prepare().map_err(StoreError::io("cannot prepare", &*tree.root))?;
        Ok(Self { shared, tree, turns: Arc::new(Semaphore::new(AT_ONCE)) })
    }

    /// Runs file work on a blocking thread.
    async fn blocking<T, F>(&self, work: F) -> PortResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Tree) -> PortResult<T> + Send + 'static,
    {
        let turn = match tokio::time::timeout(WAIT, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(Ok(turn)) => turn,
            Ok(Err(_)) => return Err(PortError::Closed("store")),
            Err(_) => return Err(PortError::Full { what: "the queue of blob transfers".into() }),
        };
        let tree = self.tree.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&tree)
        });
        done.await.unwrap_or_else(|error| Err(PortError::failed("a blob's transfer ended early", error)))
    }
}

#[async_trait]
impl Blobs for FileBlobs {
    async fn put(&self, bytes: Bytes) -> PortResult<Digest> {
        self.shared.space.admit()?;
        self.blocking(move |tree| tree.put(&[&bytes])).await
    }

    async fn put_marked(&self, mark: u128, bytes: Bytes) -> PortResult<Digest> {
        self.shared.space.admit()?;
        self.blocking(move |tree| tree.put(&[&mark.to_be_bytes(), &bytes])).await
    }

    async fn get(&self, digest: &Digest) -> PortResult<Bytes> {
        let digest = *digest;
        self.blocking(move |tree| tree.get(&digest)).await
    }

    async fn missing(&self, digests: &[Digest]) -> PortResult<Vec<Digest>> {
        let mut seen = HashSet::with_capacity(digests.len());
        let wanted: Vec<Digest> = digests.iter().copied().filter(|digest| seen.insert(*digest)).collect();
        self.blocking(move |tree| {
            let mut missing = Vec::new();
            for digest in wanted {
                if !tree.is_whole(&digest)? || !tree.renew(&digest)? {
                    missing.push(digest);
                }
            }
            Ok(missing)
        })
        .await
    }

    async fn shelf(&self, first: u8) -> PortResult<Vec<StoredBlob>> {
        self.blocking(move |tree| tree.shelf(first)).await
    }

    async fn is_older(&self, digest: &Digest, before: Timestamp) -> PortResult<bool> {
        let digest = *digest;
        self.blocking(move |tree| tree.is_older(&digest, before)).await
    }

    async fn collect(&self, digest: &Digest, before: Timestamp) -> PortResult<bool> {
        let digest = *digest;
        self.shared.space.freeing(|| self.blocking(move |tree| tree.collect(&digest, before))).await
    }

    async fn delete(&self, digest: &Digest) -> PortResult<()> {
        let digest = *digest;
        self.shared.space.freeing(|| self.blocking(move |tree| tree.delete(&digest))).await
    }
}

// === impl Tree ===

impl Tree {
    /// Makes every directory at once, so that a put has only its file and one directory to sync, and removes drafts
    /// of a server that was killed.
    fn prepare(&self) -> std::io::Result<()> {
        let make = |path: &Path| match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        };
        make(&self.root)?;
        let drafts = self.root.join(DRAFTS);
        match fs::remove_dir_all(&drafts) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => make(&drafts)?,
        }
        make(&self.root.join(CORRUPT))?;
        (0..=u8::MAX).try_for_each(|byte| make(&self.root.join(format!("{byte:02x}"))))?;
        self.fsync.dir(&self.root)?;
        self.fsync.dir(self.root.parent().unwrap_or(&self.root))
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        let (start, rest) = name.split_at(2);
        self.root.join(start).join(rest)
    }

    /// Stores the parts, one behind the other.
    fn put(&self, parts: &[&[u8]]) -> PortResult<Digest> {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(part);
        }
        let digest = Digest::from_bytes(*hasher.finalize().as_bytes());
        let path = self.path(&digest);
        let shelf = path.parent().unwrap_or(&self.root);
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let stored = fs::metadata(&path).is_ok_and(|found| found.len() == length as u64);
        // Compared, so that storing the bytes again mends a damaged file; renewed, so that none is collected meanwhile.
        if !stored || fs::read(&path).is_ok_and(|found| !is_joined(&found, parts)) || !self.renew(&digest)? {
            self.write(&path, parts).map_err(|error| PortError::io("cannot store a blob", error))?;
        }
        // Also when it was there: another put may be between its rename and its sync.
        self.fsync.dir(shelf).map_err(|error| PortError::io("cannot store a blob", error))?;
        Ok(digest)
    }

    fn write(&self, path: &Path, parts: &[&[u8]]) -> std::io::Result<()> {
        let draft = self.root.join(DRAFTS).join(self.drafts.fetch_add(1, Ordering::Relaxed).to_string());
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            parts.iter().try_for_each(|part| file.write_all(part))?;
            self.fsync.file(&file)?;
            let _naming = self.naming.lock();
            fs::rename(&draft, path)
        };
        write().inspect_err(|_| {
            // A draft that stays is swept at the next start.
            let _ = fs::remove_file(&draft);
        })
    }

    fn get(&self, digest: &Digest) -> PortResult<Bytes> {
        let bytes = self.read(digest)?;
        if is_named(&bytes, digest) {
            return Ok(bytes.into());
        }
        let _naming = self.naming.lock();
        let bytes = self.read(digest)?;
        if is_named(&bytes, digest) {
            return Ok(bytes.into());
        }
        self.whole.lock().remove(digest);
        // Out of the way, so that the digest counts as missing and the next upload mends it.
        let aside = self.root.join(CORRUPT).join(digest.to_string());
        let moved = fs::rename(self.path(digest), &aside).is_ok();
        tracing::error!(%digest, kept_as = %aside.display(), moved, "a blob does not match its digest");
        Err(PortError::Corrupt { what: format!("blob {digest}") })
    }

    fn read(&self, digest: &Digest) -> PortResult<Vec<u8>> {
        fs::read(self.path(digest)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => PortError::NotFound { what: format!("blob {digest}") },
            _ => PortError::io("cannot read a blob", error),
        })
    }

    /// Whether a blob is stored with the bytes of its name. They are read where they were not before, or where the file was
    /// written since; one that is damaged is set aside.
    fn is_whole(&self, digest: &Digest) -> PortResult<bool> {
        let modified = |path: &Path| fs::symlink_metadata(path).and_then(|meta| meta.modified());
        let before = match modified(&self.path(digest)) {
            Ok(time) => since_epoch(time),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(PortError::io("cannot look at a blob", error)),
        };
        if self.whole.lock().get(digest) == Some(&before) {
            return Ok(true);
        }
        match self.get(digest) {
            Ok(_) => self.remember(digest, before),
            Err(PortError::Corrupt { .. } | PortError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    fn remember(&self, digest: &Digest, modified: Duration) {
        let mut whole = self.whole.lock();
        if whole.len() >= WHOLE_MAX && !whole.contains_key(digest) {
            whole.clear();
        }
        whole.insert(*digest, modified);
    }

    /// Sets a blob's time to now; `false` when it is not there.
    fn renew(&self, digest: &Digest) -> PortResult<bool> {
        let now = since_epoch(SystemTime::now());
        let (seconds, nanos) = (i64::try_from(now.as_secs()).unwrap_or(i64::MAX), i64::from(now.subsec_nanos()));
        let now_spec = Timespec { tv_sec: seconds, tv_nsec: nanos };
        let times =
            Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: now_spec };
        let _naming = self.naming.lock();
        match utimensat(CWD, self.path(digest), &times, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(()) => {
                if let Some(modified) = self.whole.lock().get_mut(digest) {
                    *modified = now;
                }
                Ok(true)
            }
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(PortError::io("cannot renew a blob", error.into())),
        }
    }

    fn shelf(&self, first: u8) -> PortResult<Vec<StoredBlob>> {
        let failed = |error| PortError::io("cannot list blobs", error);
        let start = format!("{first:02x}");
        let mut found = Vec::new();
        for entry in fs::read_dir(self.root.join(&start)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let digest = name.to_str().and_then(|rest| format!("{start}{rest}").parse().ok());
            // Files that went meanwhile, and files of other programs, are skipped.
            if let (Some(digest), Ok(meta)) = (digest, entry.metadata()) {
                found.push(StoredBlob { digest, size: meta.len(), renewed_at: renewed_at(&meta) });
            }
        }
        Ok(found)
    }

    fn is_older(&self, digest: &Digest, before: Timestamp) -> PortResult<bool> {
        match fs::symlink_metadata(self.path(digest)) {
            Ok(meta) => Ok(renewed_at(&meta) < before),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(PortError::io("cannot look at a blob", error)),
        }
    }

    fn collect(&self, digest: &Digest, before: Timestamp) -> PortResult<bool> {
        // Nobody renews it between the look and the removal.
        let _naming = self.naming.lock();
        let is_older = self.is_older(digest, before)?;
        if is_older {
            self.delete(digest)?;
        }
        Ok(is_older)
    }

    fn delete(&self, digest: &Digest) -> PortResult<()> {
        match fs::remove_file(self.path(digest)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(PortError::io("cannot delete a blob", error)),
            _ => Ok(()),
        }
    }
}

/// Times before the epoch count as the epoch.
fn renewed_at(meta: &fs::Metadata) -> Timestamp {
    let since = meta.modified().map(since_epoch).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Whether these are the parts, one behind the other.
fn is_joined(mut bytes: &[u8], parts: &[&[u8]]) -> bool {
    let begins = parts.iter().all(|part| bytes.strip_prefix(*part).map(|rest| bytes = rest).is_some());
    begins && bytes.is_empty()
}

fn is_named(bytes: &[u8], digest: &Digest) -> bool {
    blake3::hash(bytes).as_bytes() == digest.as_bytes()
}
