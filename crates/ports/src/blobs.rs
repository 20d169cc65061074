//! Content-addressed bytes.

use async_trait::async_trait;
use bytes::Bytes;
use faas_types::{Digest, Timestamp};

use crate::PortResult;

/// A blob as a collector sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// Its name.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// When it was last stored, or found by [`Blobs::missing`].
    pub renewed_at: Timestamp,
}

/// Bytes under the name of their BLAKE3 hash. Shared by projects: a digest is no authorisation, callers check
/// ownership through bundles.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Stores bytes, fsynced, and returns their digest. Storing the same bytes again is cheap.
    async fn put(&self, bytes: Bytes) -> PortResult<Digest>;

    /// Stores bytes behind the 16 of a mark, as one blob. A mark that is used once makes the blob unique, so that
    /// it can be deleted when it is not needed any more.
    async fn put_marked(&self, mark: u128, bytes: Bytes) -> PortResult<Digest>;

    /// The bytes, verified against the digest.
    ///
    /// # Errors
    /// [`PortError::NotFound`](crate::PortError::NotFound); [`PortError::Corrupt`](crate::PortError::Corrupt)
    /// when the stored bytes do not match.
    async fn get(&self, digest: &Digest) -> PortResult<Bytes>;

    /// Those of the digests that are not stored, or whose stored bytes are damaged, each once, in the given order. The stored
    /// ones are renewed: the caller may rely on them for the grace of garbage collection.
    async fn missing(&self, digests: &[Digest]) -> PortResult<Vec<Digest>>;

    /// Removes the bytes; removing a missing blob is not an error.
    async fn delete(&self, digest: &Digest) -> PortResult<()>;

    /// The blobs whose digests begin with this byte.
    async fn shelf(&self, first: u8) -> PortResult<Vec<StoredBlob>>;

    /// Whether the blob is stored and was not renewed since `before`.
    async fn is_older(&self, digest: &Digest, before: Timestamp) -> PortResult<bool>;

    /// Removes the bytes unless they were renewed since `before`, in one step: a concurrent renewal either comes first
    /// and keeps them, or finds them missing. Returns whether they were removed.
    async fn collect(&self, digest: &Digest, before: Timestamp) -> PortResult<bool>;
}
