//! What is kept of a version: its files, and what it wrote while it was loaded.

use bytes::Bytes;
use faas_types::{BuildLog, Digest, Fault, Reason, VersionRecord};

use crate::bundle_store::BundleStore;
use crate::diff::{FileChange, compare};

// === impl BundleStore ===

impl BundleStore {
    /// The bytes of one file of a version.
    ///
    /// # Errors
    /// `FN_013` when the version has no such file.
    pub async fn version_file(&self, version: &VersionRecord, path: &str) -> Result<Bytes, Fault> {
        let bundle = self.listing(&version.bundle).await?;
        let Some(file) = bundle.files.iter().find(|file| file.path == path) else {
            let shown: String = path.chars().take(80).collect();
            let message = format!("version {} has no file `{shown}`", version.number);
            return Err(
                Fault::new(Reason::FileNotFound, message).with_hint("its files are listed at …/versions/N/files")
            );
        };
        Ok(self.blobs.get(&file.digest).await?)
    }

    /// The files that two versions do not share, by path.
    ///
    /// # Errors
    /// When a version's list of files cannot be read.
    pub async fn changed_files(&self, from: &VersionRecord, to: &VersionRecord) -> Result<Vec<FileChange>, Fault> {
        if from.bundle == to.bundle {
            return Ok(Vec::new());
        }
        Ok(compare(&self.listing(&from.bundle).await?, &self.listing(&to.bundle).await?))
    }

    /// What a version wrote while it was loaded.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn build_log(&self, version: &VersionRecord) -> Result<BuildLog, Fault> {
        let Some(digest) = version.build_log else { return Ok(BuildLog::default()) };
        let bytes = self.blobs.get(&digest).await?;
        serde_json::from_slice(&bytes).map_err(|_| Fault::internal("a stored build log cannot be read"))
    }

    /// Stores a build log; an empty one is not kept.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn keep_build_log(&self, log: &BuildLog) -> Result<Option<Digest>, Fault> {
        if log.lines.is_empty() {
            return Ok(None);
        }
        let bytes =
            serde_json::to_vec(log).map_err(|error| Fault::internal(format!("cannot encode a log: {error}")))?;
        Ok(Some(self.blobs.put(bytes.into()).await?))
    }
}
