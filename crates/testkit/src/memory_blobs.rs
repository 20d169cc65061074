//! Blobs in memory.

use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;
use bytes::Bytes;
use faas_ports::{Blobs, PortError, PortResult};
use faas_types::Digest;
use parking_lot::Mutex;

/// Bytes in a map.
#[derive(Debug, Default)]
pub struct MemoryBlobs {
    blobs: Mutex<BTreeMap<Digest, Bytes>>,
}

// === impl MemoryBlobs ===

impl MemoryBlobs {
    /// Flips a bit, as a failing disk would. Does nothing to what is absent or empty.
    pub fn corrupt(&self, digest: &Digest) {
        if let Some(bytes) = self.blobs.lock().get_mut(digest) {
            let mut damaged = bytes.to_vec();
            if let Some(first) = damaged.first_mut() {
                *first ^= 1;
            }
            *bytes = damaged.into();
        }
    }
}

#[async_trait]
impl Blobs for MemoryBlobs {
    async fn put(&self, bytes: Bytes) -> PortResult<Digest> {
        let digest = Digest::from_bytes(*blake3::hash(&bytes).as_bytes());
        self.blobs.lock().insert(digest, bytes);
        Ok(digest)
    }

    async fn get(&self, digest: &Digest) -> PortResult<Bytes> {
        let found = self.blobs.lock().get(digest).cloned();
        let bytes = found.ok_or_else(|| PortError::NotFound { what: format!("blob {digest}") })?;
        if blake3::hash(&bytes).as_bytes() == digest.as_bytes() {
            return Ok(bytes);
        }
        Err(PortError::Corrupt { what: format!("blob {digest}") })
    }

    async fn missing(&self, digests: &[Digest]) -> PortResult<Vec<Digest>> {
        let blobs = self.blobs.lock();
        let mut seen = HashSet::new();
        Ok(digests.iter().copied().filter(|digest| seen.insert(*digest) && !blobs.contains_key(digest)).collect())
    }

    async fn delete(&self, digest: &Digest) -> PortResult<()> {
        self.blobs.lock().remove(digest);
        Ok(())
    }
}
