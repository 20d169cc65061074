//! Uploads: which files are missing, and storing them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use faas_artifacts::{BundleStore, UploadLeases};
use faas_ports::{Blobs, Clock};
use faas_types::{Bundle, Code, Digest, Fault, ProjectId};

use crate::upload_rules::UploadRules;

/// Ports and services that uploads need.
#[expect(missing_docs, reason = "each field is the port or service of its type")]
pub struct UploadDeps {
    pub blobs: Arc<dyn Blobs>,
    pub clock: Arc<dyn Clock>,
    pub bundles: Arc<BundleStore>,
    pub leases: Arc<UploadLeases>,
    pub rules: Arc<UploadRules>,
}

/// Stores the files of versions and layers before they are deployed or published.
pub struct Uploads {
    deps: UploadDeps,
}

/// The files that a deployment lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Files whose bytes must be uploaded.
    pub missing: Vec<Digest>,
    /// Bytes of all files.
    pub bytes_total: u64,
    /// Bytes of the missing files.
    pub bytes_missing: u64,
}

/// The name of the lease on the files of a bundle.
pub(crate) fn lease_on(project: ProjectId, bundle: &Bundle) -> String {
    format!("{project}/{}", Digest::from_bytes(*blake3::hash(&bundle.canonical_bytes()).as_bytes()))
}

// === impl Uploads ===

impl Uploads {
    /// The service on its ports.
    #[must_use]
    pub fn new(deps: UploadDeps) -> Self {
        Self { deps }
    }

    /// The files of a bundle that must be uploaded. Leases all of its files against garbage collection.
    ///
    /// # Errors
    /// `FN_006` or `FN_011` when the bundle breaks a rule; `FN_028` for files that the operator or the project blocks.
    pub async fn check(&self, project: ProjectId, bundle: &Bundle) -> Result<Plan, Fault> {
        bundle.validate()?;
        self.deps.rules.check_listing(project, bundle).await?;
        self.deps.leases.open(&lease_on(project, bundle), self.deps.clock.now());
        let missing = self.deps.bundles.missing(bundle).await?;
        let sizes: BTreeMap<Digest, u64> = bundle.files.iter().map(|file| (file.digest, file.size)).collect();
        let bytes_missing = missing.iter().filter_map(|digest| sizes.get(digest)).sum();
        Ok(Plan { missing, bytes_total: bundle.size(), bytes_missing })
    }

    /// Whether a file's bytes are stored, and whole.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn has(&self, digest: Digest) -> Result<bool, Fault> {
        Ok(self.deps.blobs.missing(&[digest]).await?.is_empty())
    }

    /// Stores one file's bytes.
    ///
    /// # Errors
    /// `FN_006` when the bytes are not what `digest` says; `FN_018` when the disk is full.
    pub async fn put(&self, bytes: Bytes, digest: Digest) -> Result<(), Fault> {
        let actual = {
            let bytes = bytes.clone();
            let hashed = tokio::task::spawn_blocking(move || *blake3::hash(&bytes).as_bytes()).await;
            Digest::from_bytes(hashed.map_err(|error| Fault::internal(error.to_string()))?)
        };
        if actual != digest {
            return Err(Fault::new(Code::InvalidConfiguration, format!("digest: the body hashes to {actual}"))
                .with_hint("the digest is BLAKE3 of the whole body"));
        }
        self.deps.leases.uploaded(self.deps.clock.now());
        self.deps.blobs.put(bytes).await?;
        Ok(())
    }
}
