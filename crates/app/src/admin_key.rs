//! The first key: written where only the server's owner can read it, so that the command line just works.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use faas_engine::{Engine, KeySettings};
use faas_terminal::profile::Profile;
use faas_types::Scope;

const FILE: &str = "admin.key";
/// How long a server on this machine may take to accept a connection.
const PATIENCE: Duration = Duration::from_millis(200);

/// Creates the admin key of a data directory that has no admin key, and keeps it in the profile of this user. The profile's
/// default becomes this server only where it names none, or one of this machine that has gone. Says whether there was no
/// key.
pub(crate) async fn ensure(engine: &Engine, dir: &Path, listen: SocketAddr) -> Result<bool> {
    let is_new = !dir.join(FILE).exists();
    let key = of_directory(engine, dir).await?;
    remember(listen, &key);
    Ok(is_new)
}

/// The admin key of a data directory, created on first use.
pub(crate) async fn of_directory(engine: &Engine, dir: &Path) -> Result<String> {
    let path = dir.join(FILE);
    if let Ok(text) = std::fs::read_to_string(&path) {
        let key = text.trim().to_owned();
        if let Err(fault) = engine.keys().authenticate(&key) {
            tracing::warn!(path = %path.display(), error = %fault, "the admin key file is not valid; remove it and restart for a new one");
        }
        return Ok(key);
    }
    let minted =
        engine.keys().mint(engine.default_project(), KeySettings::new("admin", vec![Scope::Admin]), None).await?;
    write(&path, &minted.text).with_context(|| format!("cannot write {}", path.display()))?;
    tracing::info!(path = %path.display(), "wrote a new admin key");
    Ok(minted.text)
}

/// Keeps the key for the command line, which goes on speaking to the server that it speaks to. A server without a home to
/// write to still serves.
fn remember(listen: SocketAddr, key: &str) {
    let endpoint = Profile::endpoint_of(listen);
    match Profile::offer(&endpoint, key, is_gone) {
        Ok(None) => tracing::debug!(endpoint, "commands of this user speak to this server"),
        Ok(Some(other)) => {
            let change = format!("faas profiles use {endpoint}");
            tracing::info!(endpoint = other, change, "commands of this user go on speaking to another server");
        }
        Err(error) => tracing::warn!(error = %format!("{error:#}"), "the profile is not written; pass FAAS_API_KEY"),
    }
}

/// Whether a server on this machine has gone: nothing listens where it did.
fn is_gone(endpoint: &str) -> bool {
    let address =
        endpoint.strip_prefix("http://").and_then(|rest| rest.trim_end_matches('/').parse::<SocketAddr>().ok());
    let local = address.filter(|address| address.ip().is_loopback());
    local.is_some_and(|address| TcpStream::connect_timeout(&address, PATIENCE).is_err())
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
