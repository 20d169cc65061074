//! From uploaded files to a sealed layer.

use bytes::Bytes;
use faas_ports::{Collection, Key, PortError, PortResult};
use faas_types::{Bundle, Code, Digest, Fault, ProjectId};
use tokio::sync::OwnedMutexGuard;

use crate::core::Core;

// === impl Core ===

impl Core {
    /// Seals files that were uploaded.
    ///
    /// # Errors
    /// `FN_005` for files that were not uploaded, or are not what the bundle says.
    pub(crate) async fn seal_uploaded(&self, bundle: &Bundle) -> Result<Digest, Fault> {
        let missing = self.missing_files(bundle).await?;
        if let Some(digest) = missing.first() {
            let path = bundle.files.iter().find(|file| file.digest == *digest).map_or("", |file| &file.path);
            return Err(Fault::new(
                Code::DeploymentFailed,
                format!("{} files were not uploaded, the first is `{path}`", missing.len()),
            )
            .with_hint("ask for a plan, which tells what is missing, and upload that to /api/v1/blobs/{digest}"));
        }
        self.seal_stored(bundle).await.map_err(|error| match error {
            PortError::Invalid(message) => Fault::new(Code::DeploymentFailed, message),
            error => error.into(),
        })
    }

    /// Seals files whose bytes are stored.
    pub(crate) async fn seal_stored(&self, bundle: &Bundle) -> PortResult<Digest> {
        let digest = self.keep(bundle.canonical_bytes()).await?;
        self.layers.seal_bundle(&digest, bundle, &*self.blobs).await?;
        Ok(digest)
    }

    /// Stores what a sealed layer is made from. From here on nothing collects that layer until the grace is over.
    pub(crate) async fn keep(&self, recipe: Vec<u8>) -> PortResult<Digest> {
        let digest = Digest::from_bytes(*blake3::hash(&recipe).as_bytes());
        let _turn = self.collecting_turn(&digest).await;
        self.blobs.put(Bytes::from(recipe)).await
    }

    /// Held while it is decided whether a sealed layer is collected, and while what it is made from is stored: a layer that
    /// is found afterwards stays.
    pub(crate) async fn collecting_turn(&self, digest: &Digest) -> OwnedMutexGuard<()> {
        let key = Key::new(ProjectId::from_u128(0), Collection::Bundles, digest.to_string());
        self.builds.turns.of(&key).await
    }

    /// The files of a bundle whose bytes are not stored. Those that are stay for a while.
    pub(crate) async fn missing_files(&self, bundle: &Bundle) -> PortResult<Vec<Digest>> {
        let digests: Vec<Digest> = bundle.files.iter().map(|file| file.digest).collect();
        self.blobs.missing(&digests).await
    }
}
