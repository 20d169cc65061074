//! Content-addressed bytes.

use async_trait::async_trait;
use bytes::Bytes;
use faas_types::Digest;

use crate::PortResult;

/// Bytes under the name of their BLAKE3 hash. Shared by projects: a digest is no authorisation, callers check
/// ownership through bundles.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Stores bytes, fsynced, and returns their digest. Storing the same bytes again is cheap.
    async fn put(&self, bytes: Bytes) -> PortResult<Digest>;

    /// The bytes, verified against the digest.
    ///
    /// # Errors
    /// [`PortError::NotFound`](crate::PortError::NotFound); [`PortError::Corrupt`](crate::PortError::Corrupt)
    /// when the stored bytes do not match.
    async fn get(&self, digest: &Digest) -> PortResult<Bytes>;

    /// Which of these are not stored, each once, in the order given.
    async fn missing(&self, digests: &[Digest]) -> PortResult<Vec<Digest>>;

    /// Removes the bytes; removing what does not exist is no error.
    async fn delete(&self, digest: &Digest) -> PortResult<()>;
}
