//! The first key: written where only the server's owner can read it, so that the command line just works.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use faas_engine::Engine;
use faas_types::Scope;

const FILE: &str = "admin.key";

/// The admin key of a data directory; made when there is none.
pub(crate) async fn ensure(engine: &Engine, dir: &Path) -> Result<String> {
    let path = dir.join(FILE);
    if let Ok(text) = std::fs::read_to_string(&path) {
        let key = text.trim().to_owned();
        if let Err(fault) = engine.keys().authenticate(&key) {
            tracing::warn!(path = %path.display(), error = %fault, "the admin key file is not valid; remove it and restart for a new one");
        }
        return Ok(key);
    }
    let minted = engine.keys().mint(engine.default_project(), "admin", vec![Scope::Admin]).await?;
    write(&path, &minted.text).with_context(|| format!("cannot write {}", path.display()))?;
    tracing::info!(path = %path.display(), "wrote a new admin key");
    Ok(minted.text)
}

/// Whole or not at all, and never readable by others.
fn write(path: &Path, key: &str) -> std::io::Result<()> {
    let draft = path.with_extension("key.new");
    let _ = std::fs::remove_file(&draft);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    writeln!(file, "{key}")?;
    file.sync_all()?;
    std::fs::rename(&draft, path)
}
