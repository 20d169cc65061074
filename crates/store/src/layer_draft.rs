//! A layer while it is built.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, FileType, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use faas_ports::{PortError, PortResult};

use crate::fsync::Fsync;

/// The names of drafts and of layers on their way out; no digest begins like it.
const LEFTOVER: &str = ".draft-";
const DIRECTORY: u32 = 0o755;
const PROGRAM: u32 = 0o755;
const FILE: u32 = 0o644;
const ANY_EXECUTE: u32 = 0o111;

/// A directory beside the layers. It is removed unless it is sealed.
#[derive(Debug)]
pub(crate) struct LayerDraft {
    root: PathBuf,
    path: PathBuf,
    fsync: Fsync,
    sealed: bool,
}

// === impl LayerDraft ===

impl LayerDraft {
    pub(crate) fn begin(root: &Path, fsync: Fsync) -> PortResult<Self> {
        let path = leftover(root);
        DirBuilder::new().mode(0o700).create(&path).map_err(|error| PortError::io("cannot begin a layer", error))?;
        Ok(Self { root: root.to_owned(), path, fsync, sealed: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Normalises permissions, makes everything durable and gives the draft its name. A layer of that name that came
    /// meanwhile wins: it has the same content.
    pub(crate) fn seal(mut self, target: &Path) -> PortResult<PathBuf> {
        normalise(&self.path)?;
        let seal = || {
            self.fsync.tree(&self.path)?;
            match fs::rename(&self.path, target) {
                Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => return Ok(false),
                renamed => renamed?,
            }
            self.fsync.dir(&self.root)?;
            Ok(true)
        };
        self.sealed = seal().map_err(|error| PortError::io("cannot seal a layer", error))?;
        Ok(target.to_owned())
    }
}

impl Drop for LayerDraft {
    fn drop(&mut self) {
        if !self.sealed {
            discard(&self.path);
        }
    }
}

/// A fresh name for a draft or for a layer on its way out.
pub(crate) fn leftover(root: &Path) -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    root.join(format!("{LEFTOVER}{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)))
}

/// Removes a leftover. What resists stays for the next start: it costs room, never correctness.
pub(crate) fn discard(path: &Path) {
    let removed = fs::remove_dir_all(path).or_else(|error| match error.kind() {
        ErrorKind::NotFound => Ok(()),
        // A build may leave directories that even their owner cannot list.
        ErrorKind::PermissionDenied => normalise(path).map_or(Err(error), |()| fs::remove_dir_all(path)),
        _ => Err(error),
    });
    if let Err(error) = removed {
        tracing::warn!(%error, path = %path.display(), "cannot remove what is left of a layer");
    }
}

/// Whether a start sweeps this away.
pub(crate) fn is_leftover(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(LEFTOVER.as_bytes())
}

/// Sets the modes that a sandbox's own user can read. Symbolic links stay as they are: they mean something inside the
/// sandbox only, and nothing here follows them.
fn normalise(path: &Path) -> PortResult<()> {
    let failed = |error| PortError::io("cannot set permissions in a layer", error);
    let mut directories = vec![path.to_owned()];
    while let Some(directory) = directories.pop() {
        fs::set_permissions(&directory, Permissions::from_mode(DIRECTORY)).map_err(failed)?;
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                directories.push(entry.path());
            } else {
                normalise_file(&entry.path(), kind)?;
            }
        }
    }
    Ok(())
}

fn normalise_file(path: &Path, kind: FileType) -> PortResult<()> {
    if kind.is_symlink() {
        return Ok(());
    }
    if !kind.is_file() {
        return Err(PortError::Invalid(format!("{} is not a file, directory or symbolic link", path.display())));
    }
    let set = || {
        let found = fs::symlink_metadata(path)?.permissions().mode();
        let wanted = if found & ANY_EXECUTE == 0 { FILE } else { PROGRAM };
        // The whole mode is compared: a set-user-id bit must go.
        if found & 0o7777 == wanted { Ok(()) } else { fs::set_permissions(path, Permissions::from_mode(wanted)) }
    };
    set().map_err(|error| PortError::io("cannot set permissions in a layer", error))
}
