//! The profile: which server this user speaks to, and the keys for each.
//!
//! It lies at `$XDG_CONFIG_HOME/faas/credentials.toml` (`~/.config` when the variable is absent), mode 0600. A key is
//! kept with its endpoint and never sent to another one.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// What the profile file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// The default endpoint.
    pub endpoint: Option<String>,
    /// Each endpoint's key.
    pub keys: BTreeMap<String, String>,
}

// === impl Profile ===

impl Profile {
    /// Where the profile lies; `None` for a user without a home.
    #[must_use]
    pub fn path() -> Option<PathBuf> {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
        Some(base.join("faas/credentials.toml"))
    }

    /// The endpoint under which a server on this machine is spoken to, given where it listens.
    #[must_use]
    pub fn endpoint_of(listen: SocketAddr) -> String {
        let ip = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        format!("http://{}", SocketAddr::new(ip, listen.port()))
    }

    /// Reads the profile; an absent file is an empty profile.
    ///
    /// # Errors
    /// When it cannot be read or is not a profile.
    pub fn load() -> anyhow::Result<Self> {
        Self::path().map_or_else(|| Ok(Self::default()), |path| Self::load_from(&path))
    }

    /// Keeps a key for an endpoint and makes that endpoint the default. Says where.
    ///
    /// # Errors
    /// When there is no home, or the file cannot be written.
    pub fn save(endpoint: &str, key: &str) -> anyhow::Result<PathBuf> {
        Self::change(|profile| {
            endpoint.clone_into(profile.endpoint.get_or_insert_default());
            profile.keys.insert(endpoint.to_owned(), key.to_owned());
        })
    }

    /// Keeps a key for an endpoint, and makes that endpoint the default if there is no default or its server has gone.
    /// Returns the default that stays.
    ///
    /// # Errors
    /// When there is no home, or the file cannot be read or written.
    pub fn offer(endpoint: &str, key: &str, has_gone: impl Fn(&str) -> bool) -> anyhow::Result<Option<String>> {
        let mut stays = None;
        Self::change(|profile| {
            profile.keys.insert(endpoint.to_owned(), key.to_owned());
            stays = profile.endpoint.take_if(|other| other != endpoint && !has_gone(other));
            profile.endpoint = Some(stays.clone().unwrap_or_else(|| endpoint.to_owned()));
        })?;
        Ok(stays)
    }

    /// Keeps a key for an endpoint and leaves the default as it is.
    ///
    /// # Errors
    /// When there is no home, or the file cannot be written.
    pub fn keep(endpoint: &str, key: &str) -> anyhow::Result<()> {
        Self::change(|profile| {
            profile.keys.insert(endpoint.to_owned(), key.to_owned());
        })?;
        Ok(())
    }

    /// Forgets an endpoint's key, and that it was the default. Says whether there was one.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn forget(endpoint: &str) -> anyhow::Result<bool> {
        let mut was_known = false;
        Self::change(|profile| {
            was_known = profile.keys.remove(endpoint).is_some();
            profile.endpoint.take_if(|default| default == endpoint);
        })?;
        Ok(was_known)
    }

    /// Makes an endpoint the default.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn choose(endpoint: &str) -> anyhow::Result<()> {
        Self::change(|profile| profile.endpoint = Some(endpoint.to_owned()))?;
        Ok(())
    }

    /// Changes the file and says where it lies.
    fn change(change: impl FnOnce(&mut Self)) -> anyhow::Result<PathBuf> {
        let path = Self::path().context("neither XDG_CONFIG_HOME nor HOME is set; set one to keep a profile")?;
        let mut profile = Self::load_from(&path)?;
        change(&mut profile);
        profile.write(&path)?;
        Ok(path)
    }

    /// Whether others may read the file, which holds keys.
    pub fn is_exposed(path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
    }

    fn load_from(path: &Path) -> anyhow::Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| format!("cannot read the profile {}", path.display())),
        };
        // The parser's own message would quote the line, and the line may hold a key.
        toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(0, |span| text.get(..span.start).unwrap_or(&text).matches('\n').count() + 1);
            anyhow::anyhow!("the profile {}:{line} is not readable; fix it or delete the file", path.display())
        })
    }

    /// Writes beside the file and renames, so that a reader sees the old or the new one, never half.
    fn write(&self, path: &Path) -> anyhow::Result<()> {
        let dir = path.parent().context("a profile path has a directory")?;
        let attempt = || -> io::Result<()> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            let beside = dir.join(format!(".credentials.{}.tmp", std::process::id()));
            let text = toml::to_string(self).map_err(io::Error::other)?;
            let outcome = write_private(&beside, text.as_bytes()).and_then(|()| fs::rename(&beside, path));
            if outcome.is_err() {
                let _ = fs::remove_file(&beside);
            }
            outcome
        };
        attempt().with_context(|| format!("cannot write the profile {}", path.display()))
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A leftover of a killed process with the same number must not lend its mode.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_comes_back_and_is_private() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("faas/credentials.toml");
        assert_eq!(Profile::load_from(&path).expect("absent is empty"), Profile::default());
        let mut profile = Profile { endpoint: Some("http://a".into()), ..Profile::default() };
        profile.keys.insert("http://a".into(), "faas_1".into());
        profile.write(&path).expect("written");
        profile.write(&path).expect("written again");
        assert_eq!(Profile::load_from(&path).expect("read"), profile);
        assert!(!Profile::is_exposed(&path));
        assert_eq!(fs::read_dir(path.parent().expect("a parent")).expect("listed").count(), 1, "nothing left over");
    }

    #[test]
    fn a_broken_profile_does_not_print_its_keys() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("credentials.toml");
        fs::write(&path, "endpoint = 'x'\nkeys = faas_secret").expect("written");
        let message = format!("{:#}", Profile::load_from(&path).expect_err("broken"));
        assert!(message.contains(":2 is not readable") && !message.contains("secret"), "{message}");
    }

    #[test]
    fn everywhere_is_spoken_to_here() {
        let endpoint = |text: &str| Profile::endpoint_of(text.parse().expect("an address"));
        assert_eq!(endpoint("0.0.0.0:8080"), "http://127.0.0.1:8080");
        assert_eq!(endpoint("[::]:1"), "http://[::1]:1");
        assert_eq!(endpoint("10.0.0.1:80"), "http://10.0.0.1:80");
    }
}
