//! Paths of a server's configuration, made absolute where they come in.
//!
//! What a server starts (interpreters that compile, installers, sandboxes) works in other directories than the server. A
//! relative path would mean another place there.

use std::path::{Path, PathBuf};

use figment::value::Value;

use super::error::ConfigError;

/// The settings that are paths, or lists of them.
const PATHS: [&str; 3] = ["store.data", "build.ca_file", "sandbox.interpreters"];

/// The directory of a configuration file, where its relative paths start.
pub(super) fn directory_of(file: &Path) -> Result<PathBuf, ConfigError> {
    let file = absolute("--config", file)?;
    Ok(file.parent().unwrap_or(Path::new("/")).to_owned())
}

/// The value of a setting. Its relative paths start from `base`, or from the current directory when that is empty.
pub(super) fn anchored(key: &str, value: Value, base: &Path) -> Result<Value, ConfigError> {
    let Some(field) = PATHS.into_iter().find(|field| *field == key) else { return Ok(value) };
    Ok(match value {
        Value::String(_, text) if text.is_empty() => return absolute(field, Path::new("")).map(|_| text.into()),
        Value::String(_, text) => absolute(field, &base.join(text))?.to_string_lossy().into_owned().into(),
        Value::Array(_, paths) => {
            let paths: Result<Vec<_>, _> = paths.into_iter().map(|path| anchored(key, path, base)).collect();
            paths?.into()
        }
        other => other,
    })
}

/// A path as it means the same from everywhere. Links are not followed, and nothing needs to be there.
pub(super) fn absolute(field: &'static str, path: &Path) -> Result<PathBuf, ConfigError> {
    let unusable = |message: String| ConfigError::OutOfRange { field, message };
    if path.as_os_str().is_empty() {
        return Err(unusable("must not be empty; name a path".to_owned()));
    }
    std::path::absolute(path).map_err(|error| {
        unusable(format!("is the relative path {}, and there is no current directory: {error}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use crate::{Flags, ServerConfig};

    #[test]
    fn every_path_is_absolute_whatever_layer_it_comes_from() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("server.toml");
        let text = "[store]\ndata = \"state\"\n[build]\nca_file = \"../ca.pem\"\n[sandbox]\ninterpreters = [\"py\"]\n";
        std::fs::write(&file, text).expect("written");
        let load = |env: &[(&str, &str)], flags| {
            let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            ServerConfig::load(false, Some(&file), env, flags)
        };
        let config = load(&[], Flags::default()).expect("good paths");
        assert_eq!(config.store.data, dir.path().join("state"));
        assert_eq!(config.build.ca_file, Some(dir.path().join("../ca.pem")));
        assert_eq!(config.sandbox.interpreters, [dir.path().join("py")]);
        let here = std::env::current_dir().expect("a current directory");
        let env = [("FAAS_DATA", "d"), ("FAAS_INTERPRETERS", ":a:/b"), ("FAAS_BUILD_CA_FILE", "./c")];
        let config = load(&env, Flags::default()).expect("good paths");
        assert_eq!((config.store.data, config.build.ca_file), (here.join("d"), Some(here.join("c"))));
        assert_eq!(config.sandbox.interpreters, [here.join("a"), "/b".into()]);
        let flags = Flags::default().set("store.data", Some("./x/../y")).expect("a text");
        assert_eq!(load(&[], flags).expect("a good path").store.data, here.join("x/../y"));
        let flags = Flags::default().set("store.data", Some("")).expect("a text");
        let error = load(&[], flags).expect_err("no path").to_string();
        assert_eq!(error, "store.data must not be empty; name a path");
        let homeless = ServerConfig::load(false, None, |_| None, Flags::default()).expect("defaults");
        assert_eq!(homeless.store.data, here.join("faas-data"));
    }
}
