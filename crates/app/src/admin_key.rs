//! The first key: written where only the server's owner can read it, so that the command line just works.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use faas_engine::Engine;
use faas_types::Scope;

const FILE: &str = "admin.key";

/// Makes the admin key of a data directory when there is none, and keeps it in the profile of this user.
pub(crate) async fn ensure(engine: &Engine, dir: &Path, listen: SocketAddr) -> Result<()> {
    let is_new = !dir.join(FILE).exists();
    let key = of_directory(engine, dir).await?;
    if is_new || follows_local_servers() {
        remember(listen, &key);
    }
    Ok(())
}

/// The admin key of a data directory, made when there is none.
pub(crate) async fn of_directory(engine: &Engine, dir: &Path) -> Result<String> {
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

/// Whether the profile's default is a server on this machine, so that a restart elsewhere may replace it. The default
/// of somebody who works with a remote server stays.
fn follows_local_servers() -> bool {
    let endpoint = faas_cli::Profile::load().ok().and_then(|profile| profile.endpoint);
    endpoint.is_none_or(|url| url.starts_with("http://127.") || url.starts_with("http://[::1]"))
}

/// A server without a home to write to still serves.
fn remember(listen: SocketAddr, key: &str) {
    match faas_cli::Profile::save(&faas_cli::Profile::endpoint_of(listen), key) {
        Ok(path) => tracing::debug!(path = %path.display(), "wrote the profile"),
        Err(error) => tracing::warn!(error = %format!("{error:#}"), "the profile is not written; pass FAAS_API_KEY"),
    }
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
