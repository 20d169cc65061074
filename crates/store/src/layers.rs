//! Layers as directories named by their digest.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_ports::{Blobs, KeyedLock, LayerBuild, Layers, PortError, PortResult};
use faas_types::{Bundle, Digest};
use tokio::sync::OwnedMutexGuard;

use crate::StoreError;
use crate::bundle_draft::{BundleDraft, fetch, group_len};
use crate::layer_draft::{LayerDraft, discard, is_leftover, leftover};
use crate::shared::Shared;

/// How long the draft of a layer that processes share may be worked on.
const DRAFT_AGE_MAX: Duration = Duration::from_secs(3_600);

/// `layers/<digest>/`, and drafts beside them.
#[derive(Debug)]
pub(crate) struct FileLayers {
    shared: Arc<Shared>,
    root: Arc<Path>,
    /// Held while a digest is built.
    building: KeyedLock<Digest>,
}

// === impl FileLayers ===

impl FileLayers {
    /// Removes drafts of a server that was killed.
    pub(crate) fn open(shared: Arc<Shared>) -> Result<Self, StoreError> {
        let root: Arc<Path> = shared.dir.path().join("layers").into();
        sweep(&root, |_| true).map_err(StoreError::io("cannot prepare", &*root))?;
        Ok(Self { shared, root, building: KeyedLock::default() })
    }

    /// Layers that processes share, in a directory of their user. Drafts may be of one that runs: only old ones go.
    pub(crate) fn shared(shared: Arc<Shared>, root: &Path) -> Result<Self, StoreError> {
        sweep(root, is_old).map_err(StoreError::io("cannot prepare", root))?;
        Ok(Self { shared, root: root.into(), building: KeyedLock::default() })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join(digest.to_string())
    }

    /// Begins a draft, on a blocking thread.
    fn draft(&self) -> impl FnOnce() -> PortResult<LayerDraft> + Send + 'static {
        let (root, fsync) = (Arc::clone(&self.root), self.shared.fsync.clone());
        move || LayerDraft::begin(&root, fsync)
    }

    /// The lock to build an absent layer under, or the layer.
    async fn begin(&self, digest: &Digest) -> PortResult<Result<PathBuf, OwnedMutexGuard<()>>> {
        if let Some(path) = self.find(digest) {
            return Ok(Ok(path));
        }
        let lock = self.building.lock(digest).await;
        if let Some(path) = self.find(digest) {
            return Ok(Ok(path));
        }
        self.shared.space.admit()?;
        Ok(Err(lock))
    }
}

#[async_trait]
impl Layers for FileLayers {
    fn find(&self, digest: &Digest) -> Option<PathBuf> {
        let path = self.path(digest);
        path.is_dir().then_some(path)
    }

    async fn seal(&self, digest: &Digest, build: LayerBuild) -> PortResult<PathBuf> {
        let lock = match self.begin(digest).await? {
            Ok(path) => return Ok(path),
            Err(lock) => lock,
        };
        let (draft, target) = (self.draft(), self.path(digest));
        blocking(move || {
            // The lock is held until the build ends, even when the caller goes away meanwhile.
            let _lock = lock;
            let draft = draft()?;
            build(draft.path()).map_err(build_failed)?;
            draft.seal(&target)
        })
        .await
    }

    async fn seal_bundle(&self, digest: &Digest, bundle: &Bundle, blobs: &dyn Blobs) -> PortResult<PathBuf> {
        bundle.validate().map_err(|fault| PortError::Invalid(fault.message))?;
        if blake3::hash(&bundle.canonical_bytes()).as_bytes() != digest.as_bytes() {
            return Err(PortError::Invalid(format!("{digest} is not the digest of this bundle")));
        }
        let lock = match self.begin(digest).await? {
            Ok(path) => return Ok(path),
            Err(lock) => lock,
        };
        let (draft, target) = (self.draft(), self.path(digest));
        let mut draft = blocking(move || BundleDraft::begin(draft()?)).await?;
        let mut files = &bundle.files[..];
        while !files.is_empty() {
            let (group, rest) = files.split_at(group_len(files));
            let contents = match fetch(group, blobs).await {
                Ok(contents) => contents,
                // Removing a tree blocks too.
                Err(error) => return blocking(move || Err(drop_with(draft, error))).await,
            };
            draft = blocking(move || draft.write_all(&contents)).await?;
            files = rest;
        }
        blocking(move || {
            let _lock = lock;
            draft.finish().seal(&target)
        })
        .await
    }

    async fn remove(&self, digest: &Digest) -> PortResult<()> {
        let lock = self.building.lock(digest).await;
        let (root, path, shared) = (Arc::clone(&self.root), self.path(digest), Arc::clone(&self.shared));
        blocking(move || {
            let _lock = lock;
            remove(&root, &path, &shared).map_err(|error| PortError::io("cannot remove a layer", error))
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> PortResult<T> + Send + 'static) -> PortResult<T> {
    let done = tokio::task::spawn_blocking(work);
    done.await.unwrap_or_else(|error| Err(PortError::failed("the build of a layer ended early", error)))
}

fn drop_with(draft: BundleDraft, error: PortError) -> PortError {
    drop(draft);
    error
}

/// A build's complaint about its input is the caller's fault, not the disk's.
fn build_failed(error: std::io::Error) -> PortError {
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::InvalidData => PortError::Invalid(error.to_string()),
        _ => PortError::io("cannot build a layer", error),
    }
}

/// Renames the layer away, then removes it tree by tree: a removal that is cut short leaves no half layer.
fn remove(root: &Path, path: &Path, shared: &Shared) -> std::io::Result<()> {
    let doomed = leftover(root);
    match fs::rename(path, &doomed) {
        Ok(()) => {
            shared.fsync.dir(root)?;
            fs::remove_dir_all(doomed)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the directory, and removes leftovers that are not in use.
fn sweep(root: &Path, is_left: impl Fn(&fs::DirEntry) -> bool) -> std::io::Result<()> {
    match DirBuilder::new().mode(0o700).create(root) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => return made,
    }
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if is_leftover(&entry.file_name()) && is_left(&entry) {
            discard(&entry.path());
        }
    }
    Ok(())
}

fn is_old(entry: &fs::DirEntry) -> bool {
    let modified = entry.metadata().and_then(|meta| meta.modified()).ok();
    modified.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > DRAFT_AGE_MAX)
}
