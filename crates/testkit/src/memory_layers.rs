//! Layers without durability.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use faas_ports::{Blobs, LayerBuild, Layers, PortError, PortResult};
use faas_types::{Bundle, Digest};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::Mutex as Turn;

/// Layers in a temporary directory, since their users want paths. They go with the value.
#[derive(Debug)]
pub struct MemoryLayers {
    root: TempDir,
    turns: Mutex<HashMap<Digest, Arc<Turn<()>>>>,
}

// === impl MemoryLayers ===

impl MemoryLayers {
    /// An empty store.
    ///
    /// # Errors
    /// When the temporary directory cannot be made.
    pub fn new() -> io::Result<Self> {
        Ok(Self { root: tempfile::tempdir()?, turns: Mutex::default() })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.root.path().join(digest.to_string())
    }

    fn turn(&self, digest: &Digest) -> Arc<Turn<()>> {
        Arc::clone(self.turns.lock().entry(*digest).or_default())
    }
}

#[async_trait]
impl Layers for MemoryLayers {
    fn find(&self, digest: &Digest) -> Option<PathBuf> {
        Some(self.path(digest)).filter(|path| path.is_dir())
    }

    async fn seal(&self, digest: &Digest, build: LayerBuild) -> PortResult<PathBuf> {
        let turn = self.turn(digest).lock_owned().await;
        if let Some(path) = self.find(digest) {
            return Ok(path);
        }
        let draft = tempfile::tempdir_in(self.root.path()).map_err(|error| PortError::io("cannot begin", error))?;
        let target = self.path(digest);
        let built = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            build(draft.path())?;
            normalise(draft.path())?;
            fs::rename(draft.path(), &target)?;
            // Renamed away: there is nothing left to remove.
            let _ = draft.keep();
            io::Result::Ok(target)
        });
        match built.await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => Err(PortError::Invalid(error.to_string())),
            Ok(done) => done.map_err(|error| PortError::io("cannot build a layer", error)),
            Err(error) => Err(PortError::failed("the build of a layer ended early", error)),
        }
    }

    async fn seal_bundle(&self, digest: &Digest, bundle: &Bundle, blobs: &dyn Blobs) -> PortResult<PathBuf> {
        bundle.validate().map_err(|fault| PortError::Invalid(fault.message))?;
        if blake3::hash(&bundle.canonical_bytes()).as_bytes() != digest.as_bytes() {
            return Err(PortError::Invalid(format!("{digest} is not the digest of this bundle")));
        }
        if let Some(path) = self.find(digest) {
            return Ok(path);
        }
        let mut files = Vec::with_capacity(bundle.files.len());
        for file in &bundle.files {
            let bytes = blobs.get(&file.digest).await?;
            if bytes.len() as u64 != file.size {
                return Err(PortError::Invalid(format!("`{}` has another size than the bundle says", file.path)));
            }
            files.push((file.clone(), bytes));
        }
        let build = move |draft: &Path| {
            files.iter().try_for_each(|(file, bytes)| {
                let path = draft.join(&file.path);
                fs::create_dir_all(path.parent().unwrap_or(draft))?;
                fs::write(&path, bytes)?;
                fs::set_permissions(&path, Permissions::from_mode(if file.executable { 0o755 } else { 0o644 }))
            })
        };
        self.seal(digest, Box::new(build)).await
    }

    async fn remove(&self, digest: &Digest) -> PortResult<()> {
        match fs::remove_dir_all(self.path(digest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(PortError::io("cannot remove", error)),
            _ => Ok(()),
        }
    }
}

fn normalise(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let found = entry.metadata()?;
        if found.is_dir() {
            normalise(&entry.path())?;
        } else if found.is_file() {
            let mode = if found.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
            fs::set_permissions(entry.path(), Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}
