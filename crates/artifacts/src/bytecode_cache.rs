//! Bytecode that a runtime compiled from a version's code, kept beside it so that later starts need not compile it again.

use bytes::Bytes;
use faas_ports::PortResult;
use faas_types::{Bundle, BundleFile, Digest};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::bundle_store::BundleStore;

/// Compiled bytes below which a start would save less than a millisecond or two.
const WORTH_KEEPING: u64 = 16 << 10;
/// Files that are stored at once: each waits for the disk.
const AT_ONCE: usize = 32;

// === impl BundleStore ===

impl BundleStore {
    /// Seals a version's code once more, with its bytecode. `None` where that is not worth it or not possible: the code
    /// alone does as well, only slower. The content comes from inside the sandbox and is only used for the version that it
    /// came from, whose code could do the same.
    pub async fn keep_bytecode(&self, bundle: &Bundle, compiled: Vec<(String, Bytes)>) -> Option<Digest> {
        let compiled = new_files(bundle, compiled);
        let size: u64 = compiled.iter().map(|(file, _)| file.size).sum();
        if size < WORTH_KEEPING {
            return None;
        }
        let files = bundle.files.iter().cloned().chain(compiled.iter().map(|(file, _)| file.clone())).collect();
        let with_bytecode = Bundle { files };
        if let Err(fault) = with_bytecode.validate() {
            tracing::debug!(%fault, "bytecode is not kept");
            return None;
        }
        let kept = self.seal_with(&with_bytecode, compiled).await;
        kept.inspect_err(|error| tracing::warn!(%error, "bytecode is not kept")).ok()
    }

    async fn seal_with(&self, bundle: &Bundle, compiled: Vec<(BundleFile, Bytes)>) -> PortResult<Digest> {
        let puts = compiled.into_iter().map(|(_, content)| self.blobs.put(content));
        stream::iter(puts).buffer_unordered(AT_ONCE).try_for_each(|_| async { Ok(()) }).await?;
        self.seal_stored(bundle).await
    }
}

/// Files that the bundle does not have; what its author put there stays.
fn new_files(bundle: &Bundle, compiled: Vec<(String, Bytes)>) -> Vec<(BundleFile, Bytes)> {
    let taken: std::collections::HashSet<&str> = bundle.files.iter().map(|file| file.path.as_str()).collect();
    let file = |path: String, content: &Bytes| BundleFile {
        path,
        digest: Digest::from_bytes(*blake3::hash(content).as_bytes()),
        size: content.len() as u64,
        executable: false,
    };
    let fresh = compiled.into_iter().filter(|(path, _)| !taken.contains(path.as_str()));
    fresh.map(|(path, content)| (file(path, &content), content)).collect()
}
