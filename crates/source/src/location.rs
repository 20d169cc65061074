//! Where a function's files are on this machine.

use std::path::{Path, PathBuf};

use anyhow::Context;
use faas_config::{MANIFEST_FILES, SourceDir};

/// Whether a directory has a manifest, also one that cannot be read.
pub fn has_manifest(dir: &Path) -> anyhow::Result<bool> {
    let source = SourceDir::open(dir).with_context(|| format!("cannot open {}", dir.display()))?;
    Ok(MANIFEST_FILES.iter().any(|name| source.has(name)))
}

/// A path argument with its default.
pub fn or_here(path: Option<PathBuf>) -> PathBuf {
    path.unwrap_or_else(|| PathBuf::from("."))
}
