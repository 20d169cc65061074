//! Sealing bundles, and laying them out on this machine.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use faas_ports::{Blobs, KeyedLock, Layers, PortError, PortResult};
use faas_types::{Bundle, Code, Digest, Fault, VersionRecord};
use tokio::sync::OwnedMutexGuard;

use crate::stack_spec::StackSpec;

/// Stored files, and the trees that are laid out from them.
pub struct BundleStore {
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) layers: Arc<dyn Layers>,
    /// Held while a tree is removed, and while the list that it is laid out from is stored.
    trees: KeyedLock<Digest>,
}

// === impl BundleStore ===

impl BundleStore {
    /// A store over these ports.
    #[must_use]
    pub fn new(blobs: Arc<dyn Blobs>, layers: Arc<dyn Layers>) -> Self {
        Self { blobs, layers, trees: KeyedLock::default() }
    }

    /// Refuses a bundle whose files were not uploaded, and renews those that were.
    ///
    /// # Errors
    /// `FN_005` that names the first that is missing.
    pub async fn check_uploaded(&self, bundle: &Bundle) -> Result<(), Fault> {
        let missing = self.missing(bundle).await?;
        let Some(digest) = missing.first() else { return Ok(()) };
        let path = bundle.files.iter().find(|file| file.digest == *digest).map_or("", |file| &file.path);
        let message = format!("{} files were not uploaded, the first is `{path}`", missing.len());
        Err(Fault::new(Code::DeploymentFailed, message)
            .with_hint("ask POST /api/v1/blobs/check what is missing, and send that with PUT /api/v1/blobs/{digest}"))
    }

    /// Seals files that were uploaded.
    ///
    /// # Errors
    /// `FN_005` for files that are not what the bundle says.
    pub async fn seal_uploaded(&self, bundle: &Bundle) -> Result<Digest, Fault> {
        self.seal_stored(bundle).await.map_err(|error| match error {
            PortError::Invalid(message) => Fault::new(Code::DeploymentFailed, message),
            error => error.into(),
        })
    }

    /// Seals files whose bytes are stored.
    ///
    /// # Errors
    /// As [`Layers::seal_bundle`].
    pub async fn seal_stored(&self, bundle: &Bundle) -> PortResult<Digest> {
        let digest = self.keep(bundle.canonical_bytes()).await?;
        self.layers.seal_bundle(&digest, bundle, &*self.blobs).await?;
        Ok(digest)
    }

    /// Stores what a tree is laid out from. From then on garbage collection leaves the tree alone until the grace is over.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn keep(&self, recipe: Vec<u8>) -> PortResult<Digest> {
        let digest = Digest::from_bytes(*blake3::hash(&recipe).as_bytes());
        let _lock = self.lock(&digest).await;
        self.blobs.put(Bytes::from(recipe)).await
    }

    /// Excludes the removal of a tree and the storing of the list that it is laid out from: a tree that is found
    /// afterwards stays.
    pub async fn lock(&self, digest: &Digest) -> OwnedMutexGuard<()> {
        self.trees.lock(digest).await
    }

    /// The files of a bundle whose bytes are not stored. Stored ones are renewed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn missing(&self, bundle: &Bundle) -> PortResult<Vec<Digest>> {
        let digests: Vec<Digest> = bundle.files.iter().map(|file| file.digest).collect();
        self.blobs.missing(&digests).await
    }

    /// The files of a sealed bundle.
    ///
    /// # Errors
    /// When the list is not stored or cannot be read.
    pub async fn listing(&self, digest: &Digest) -> Result<Bundle, Fault> {
        Bundle::from_canonical_bytes(&self.blobs.get(digest).await?)
    }

    /// The tree of a sealed bundle on this machine; laid out again from the stored files when it is gone.
    ///
    /// # Errors
    /// When its files are not stored.
    pub async fn lay_out(&self, digest: &Digest) -> Result<PathBuf, Fault> {
        if let Some(path) = self.layers.find(digest) {
            return Ok(path);
        }
        let bundle = self.listing(digest).await?;
        Ok(self.layers.seal_bundle(digest, &bundle, &*self.blobs).await?)
    }

    /// The tree of a version's code, with the bytecode that is kept for it.
    ///
    /// # Errors
    /// When its files are not stored.
    pub async fn lay_out_code(&self, version: &VersionRecord) -> Result<PathBuf, Fault> {
        if let Some(compiled) = version.compiled.filter(|_| is_of_this_machine(version)) {
            match self.lay_out(&compiled).await {
                Ok(path) => return Ok(path),
                // The code alone does as well, only slower.
                Err(fault) => tracing::warn!(digest = %compiled, %fault, "the bytecode of a version is lost"),
            }
        }
        self.lay_out(&version.bundle).await
    }

    /// The tree of a version's packages, where it has any.
    ///
    /// # Errors
    /// `FN_019` for packages that were installed on a machine of another architecture, and when its files are not stored.
    pub async fn lay_out_packages_of(&self, version: &VersionRecord) -> Result<Option<PathBuf>, Fault> {
        if version.dependencies.is_some() && !is_of_this_machine(version) {
            let (there, here) = (&version.arch, std::env::consts::ARCH);
            let message = format!(
                "the packages of version {} were installed for {there}; this machine is {here}",
                version.number
            );
            return Err(
                Fault::new(Code::RuntimeMissing, message).with_hint("deploy the function again on this machine")
            );
        }
        self.lay_out_packages(version.dependencies).await
    }

    /// The tree of packages, where there are any.
    ///
    /// # Errors
    /// When its files are not stored.
    pub async fn lay_out_packages(&self, digest: Option<Digest>) -> Result<Option<PathBuf>, Fault> {
        match digest {
            Some(digest) => self.lay_out(&digest).await.map(Some),
            None => Ok(None),
        }
    }

    /// Keeps a list of files, with the files, for another grace. To be called before it becomes needed, unless its files
    /// have just been stored.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub async fn renew(&self, digest: &Digest) -> Result<(), Fault> {
        self.renew_list(digest).await?;
        self.missing(&self.listing(digest).await?).await?;
        Ok(())
    }

    /// Keeps what a version is laid out from for another grace: instances of it may run on after it is dropped.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn renew_for_instances(&self, version: &VersionRecord) -> Result<(), Fault> {
        let VersionRecord { bundle, compiled, dependencies, layers, .. } = version;
        let lists = [Some(*bundle), *compiled, *dependencies, StackSpec::of(version).digest()];
        for digest in lists.iter().flatten().chain(layers) {
            self.renew_list(digest).await?;
        }
        Ok(())
    }

    async fn renew_list(&self, digest: &Digest) -> Result<(), Fault> {
        let _lock = self.lock(digest).await;
        self.blobs.missing(&[*digest]).await?;
        Ok(())
    }
}

fn is_of_this_machine(version: &VersionRecord) -> bool {
    version.arch == std::env::consts::ARCH
}

#[cfg(test)]
mod tests {
    use faas_testkit::{MemoryBlobs, MemoryLayers};
    use faas_types::{BundleFile, FunctionId, FunctionSettings, Timestamp, VersionId};

    use super::*;

    async fn kept(store: &BundleStore, path: &str) -> Digest {
        let content = Bytes::copy_from_slice(path.as_bytes());
        let file = BundleFile {
            path: path.to_owned(),
            digest: Digest::from_bytes(*blake3::hash(&content).as_bytes()),
            size: content.len() as u64,
            executable: false,
        };
        store.blobs.put(content).await.expect("stored");
        store.seal_stored(&Bundle { files: vec![file] }).await.expect("sealed")
    }

    fn version(arch: &str, [bundle, compiled, dependencies]: [Digest; 3]) -> VersionRecord {
        let entrypoint = "main:handler".parse().expect("an entrypoint");
        VersionRecord {
            id: VersionId::from_u128(1),
            function: FunctionId::from_u128(1),
            number: 3,
            bundle,
            arch: arch.to_owned(),
            compiled: Some(compiled),
            dependencies: Some(dependencies),
            layers: Vec::new(),
            file_count: 1,
            size: 1,
            settings: FunctionSettings::new("python".parse().expect("a runtime"), entrypoint),
            declaration: None,
            runtime_exact: String::new(),
            concurrency: 1,
            streams_bodies: false,
            note: None,
            author: None,
            preview: false,
            build_log: None,
            created_at: Timestamp::from_millis(0),
        }
    }

    #[tokio::test]
    async fn what_was_made_for_another_architecture_is_not_used() {
        let store =
            BundleStore::new(Arc::new(MemoryBlobs::default()), Arc::new(MemoryLayers::new().expect("a directory")));
        let trees = [kept(&store, "code").await, kept(&store, "compiled").await, kept(&store, "packages").await];
        let own = version(std::env::consts::ARCH, trees);
        assert!(store.lay_out_code(&own).await.expect("a tree").join("compiled").is_file());
        assert!(store.lay_out_packages_of(&own).await.expect("a tree").is_some());
        let moved = version("riscv128", trees);
        assert!(store.lay_out_code(&moved).await.expect("a tree").join("code").is_file());
        let refused = store.lay_out_packages_of(&moved).await.expect_err("other machines' packages");
        assert_eq!(refused.code, Code::RuntimeMissing);
        assert!(refused.message.starts_with("the packages of version 3 were installed for riscv128; "), "{refused:?}");
        let pure = VersionRecord { dependencies: None, ..moved };
        assert_eq!(store.lay_out_packages_of(&pure).await.expect("no packages"), None);
    }
}
