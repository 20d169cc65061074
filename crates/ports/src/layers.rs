//! Sealed, read-only directory trees on this machine.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use faas_types::{Bundle, Digest};

use crate::{Blobs, PortResult};

/// Fills an empty directory with a layer's content. Runs on a blocking thread, once.
pub type LayerBuild = Box<dyn FnOnce(&Path) -> std::io::Result<()> + Send>;

/// Layers by the digest that their content or recipe hashes to.
///
/// A layer is complete or absent: builds happen in a draft directory that is synced and renamed into place.
/// Directories are sealed 0755 and files 0644 or 0755, readable by a sandbox's own user.
#[async_trait]
pub trait Layers: Send + Sync {
    /// The layer's directory, if it is sealed here.
    fn find(&self, digest: &Digest) -> Option<PathBuf>;

    /// The layer's directory; builds it first when it is absent. Concurrent calls for one digest build once.
    async fn seal(&self, digest: &Digest, build: LayerBuild) -> PortResult<PathBuf>;

    /// The layer of a bundle's files; lays them out from `blobs` first when it is absent. Concurrent calls for one
    /// digest lay out once.
    ///
    /// # Errors
    /// [`PortError::Invalid`](crate::PortError::Invalid) when the bundle breaks a rule of [`Bundle::validate`], when
    /// `digest` is not the BLAKE3 hash of [`Bundle::canonical_bytes`], or when a file's size is not what the bundle
    /// says; [`PortError::NotFound`](crate::PortError::NotFound) when a file's bytes are not stored. Nothing of the
    /// layer is left then.
    async fn seal_bundle(&self, digest: &Digest, bundle: &Bundle, blobs: &dyn Blobs) -> PortResult<PathBuf>;

    /// Removes a layer; the caller knows that no sandbox uses it.
    async fn remove(&self, digest: &Digest) -> PortResult<()>;
}
