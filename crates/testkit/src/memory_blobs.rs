//! Blobs in memory.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use faas_ports::{Blobs, Clock, PortError, PortResult, StoredBlob, SystemClock};
use faas_types::{Digest, Timestamp};
use parking_lot::Mutex;

/// Bytes in a map.
pub struct MemoryBlobs {
    blobs: Mutex<BTreeMap<Digest, Kept>>,
    clock: Arc<dyn Clock>,
}

struct Kept {
    bytes: Bytes,
    renewed_at: Timestamp,
}

// === impl MemoryBlobs ===

impl Default for MemoryBlobs {
    fn default() -> Self {
        Self::timed(Arc::new(SystemClock))
    }
}

impl fmt::Debug for MemoryBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} blobs in memory", self.count())
    }
}

impl MemoryBlobs {
    /// Blobs that live by a test's time.
    #[must_use]
    pub fn timed(clock: Arc<dyn Clock>) -> Self {
        Self { blobs: Mutex::default(), clock }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.blobs.lock().len()
    }

    /// Flips a bit, as a failing disk would. Does nothing to what is absent or empty.
    pub fn corrupt(&self, digest: &Digest) {
        if let Some(kept) = self.blobs.lock().get_mut(digest) {
            let mut damaged = kept.bytes.to_vec();
            if let Some(first) = damaged.first_mut() {
                *first ^= 1;
            }
            kept.bytes = damaged.into();
        }
    }
}

#[async_trait]
impl Blobs for MemoryBlobs {
    async fn put(&self, bytes: Bytes) -> PortResult<Digest> {
        let digest = Digest::from_bytes(*blake3::hash(&bytes).as_bytes());
        self.blobs.lock().insert(digest, Kept { bytes, renewed_at: self.clock.now() });
        Ok(digest)
    }

    async fn put_marked(&self, mark: u128, bytes: Bytes) -> PortResult<Digest> {
        self.put([&mark.to_be_bytes()[..], &bytes[..]].concat().into()).await
    }

    async fn get(&self, digest: &Digest) -> PortResult<Bytes> {
        let found = self.blobs.lock().get(digest).map(|kept| kept.bytes.clone());
        let bytes = found.ok_or_else(|| PortError::NotFound { what: format!("blob {digest}") })?;
        if blake3::hash(&bytes).as_bytes() == digest.as_bytes() {
            return Ok(bytes);
        }
        Err(PortError::Corrupt { what: format!("blob {digest}") })
    }

    async fn missing(&self, digests: &[Digest]) -> PortResult<Vec<Digest>> {
        let (now, mut blobs) = (self.clock.now(), self.blobs.lock());
        let (mut seen, mut missing) = (HashSet::new(), Vec::new());
        for digest in digests.iter().filter(|digest| seen.insert(**digest)) {
            match blobs.get_mut(digest) {
                Some(kept) => kept.renewed_at = now,
                None => missing.push(*digest),
            }
        }
        Ok(missing)
    }

    async fn delete(&self, digest: &Digest) -> PortResult<()> {
        self.blobs.lock().remove(digest);
        Ok(())
    }

    async fn shelf(&self, first: u8) -> PortResult<Vec<StoredBlob>> {
        let blobs = self.blobs.lock();
        let on_it = blobs.iter().filter(|(digest, _)| digest.as_bytes()[0] == first);
        let stored = |(digest, kept): (&Digest, &Kept)| {
            let Kept { bytes, renewed_at } = kept;
            StoredBlob { digest: *digest, size: bytes.len() as u64, renewed_at: *renewed_at }
        };
        Ok(on_it.map(stored).collect())
    }

    async fn is_older(&self, digest: &Digest, before: Timestamp) -> PortResult<bool> {
        Ok(self.blobs.lock().get(digest).is_some_and(|kept| kept.renewed_at < before))
    }

    async fn collect(&self, digest: &Digest, before: Timestamp) -> PortResult<bool> {
        let mut blobs = self.blobs.lock();
        let is_older = blobs.get(digest).is_some_and(|kept| kept.renewed_at < before);
        if is_older {
            blobs.remove(digest);
        }
        Ok(is_older)
    }
}
