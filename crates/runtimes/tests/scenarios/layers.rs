//! Layers in a directory that outlives a test, so that runtimes are sealed once for all of them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use faas_ports::{Blobs, LayerBuild, Layers, PortError, PortResult};
use faas_types::{Bundle, Digest};

/// Drafts of this process so far: its tests seal at the same time.
static DRAFTS: AtomicU32 = AtomicU32::new(0);

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
        let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
        let draft = self.root.join(format!("{digest}.{}.{number}", std::process::id()));
        let target = sealed.clone();
        let built = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&draft)?;
            build(&draft)?;
            // Another test may have been quicker.
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
