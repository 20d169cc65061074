//! Layers in a directory that outlives a test, so that runtimes are sealed once for all of them.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use faas_ports::{Blobs, LayerBuild, Layers, PortError, PortResult};
use faas_types::{Bundle, Digest};

pub(crate) struct DirectoryLayers {
    root: PathBuf,
}

// === impl DirectoryLayers ===

impl DirectoryLayers {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }
}

#[async_trait]
impl Layers for DirectoryLayers {
    fn find(&self, digest: &Digest) -> Option<PathBuf> {
        Some(self.root.join(digest.to_string())).filter(|path| path.is_dir())
    }

    async fn seal(&self, digest: &Digest, build: LayerBuild) -> PortResult<PathBuf> {
        let sealed = self.root.join(digest.to_string());
        let draft = self.root.join(format!("{digest}.{}", std::process::id()));
        let target = sealed.clone();
        let built = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&draft)?;
            build(&draft)?;
            // Another test process may have been quicker.
            if std::fs::rename(&draft, &target).is_err() { std::fs::remove_dir_all(&draft) } else { Ok(()) }
        });
        built.await.expect("a build does not panic").map_err(|error| PortError::io("sealing a layer", error))?;
        Ok(sealed)
    }

    async fn seal_bundle(&self, _: &Digest, _: &Bundle, _: &dyn Blobs) -> PortResult<PathBuf> {
        Err(PortError::Invalid("these layers hold runtimes only".to_owned()))
    }

    async fn remove(&self, digest: &Digest) -> PortResult<()> {
        std::fs::remove_dir_all(self.root.join(digest.to_string())).map_err(|error| PortError::io("removing", error))
    }
}
