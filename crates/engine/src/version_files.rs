//! What is kept of a version: its files, and what it wrote while it was checked.

use bytes::Bytes;
use faas_types::{BuildLog, Bundle, Code, Fault, VersionRecord};

use crate::engine::Engine;

// === impl Engine ===

impl Engine {
    /// The files of a version.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn version_bundle(&self, version: &VersionRecord) -> Result<Bundle, Fault> {
        Bundle::from_canonical_bytes(&self.core.blobs.get(&version.bundle).await?)
    }

    /// The bytes of one of them.
    ///
    /// # Errors
    /// `FN_013` when the version has no such file.
    pub async fn version_file(&self, version: &VersionRecord, path: &str) -> Result<Bytes, Fault> {
        let bundle = self.version_bundle(version).await?;
        let Some(file) = bundle.files.iter().find(|file| file.path == path) else {
            let shown: String = path.chars().take(80).collect();
            let message = format!("version {} has no file `{shown}`", version.number);
            return Err(Fault::new(Code::NotFound, message).with_hint("its files are listed at …/versions/N/files"));
        };
        Ok(self.core.blobs.get(&file.digest).await?)
    }

    /// What a version wrote while it was checked.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn build_log(&self, version: &VersionRecord) -> Result<BuildLog, Fault> {
        let Some(digest) = version.build_log else { return Ok(BuildLog::default()) };
        let bytes = self.core.blobs.get(&digest).await?;
        serde_json::from_slice(&bytes).map_err(|_| Fault::internal("a stored build log cannot be read"))
    }
}
