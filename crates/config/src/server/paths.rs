//! Paths of a server's configuration, made absolute where they come in.
//!
//! What a server starts (interpreters that compile, installers, sandboxes) works in other directories than the server. A
//! relative path would mean another place there.

use std::path::{Path, PathBuf};

use super::{ConfigError, ServerOverrides};

/// A layer whose relative paths start from the directory of the file that it was read from.
pub(super) fn of_file(layer: ServerOverrides, file: &Path) -> Result<ServerOverrides, ConfigError> {
    let file = absolute("--config", file)?;
    let base = file.parent().unwrap_or(Path::new("/"));
    anchored(layer, |field, path| absolute(field, &if path.as_os_str().is_empty() { path } else { base.join(path) }))
}

/// A layer whose relative paths start from the current directory: environment and flags.
pub(super) fn of_here(layer: ServerOverrides) -> Result<ServerOverrides, ConfigError> {
    anchored(layer, |field, path| absolute(field, &path))
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

fn anchored(
    layer: ServerOverrides,
    absolute: impl Fn(&'static str, PathBuf) -> Result<PathBuf, ConfigError>,
) -> Result<ServerOverrides, ConfigError> {
    let pythons = layer.pythons.map(|paths| paths.into_iter().map(|path| absolute("sandbox.pythons", path)).collect());
    Ok(ServerOverrides {
        data: layer.data.map(|path| absolute("store.data", path)).transpose()?,
        build_ca_file: layer.build_ca_file.map(|path| absolute("build.ca_file", path)).transpose()?,
        pythons: pythons.transpose()?,
        ..layer
    })
}

#[cfg(test)]
mod tests {
    use crate::{ServerConfig, ServerOverrides};

    #[test]
    fn every_path_is_absolute_whatever_layer_it_comes_from() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("server.toml");
        let text = "[store]\ndata = \"state\"\n[build]\nca_file = \"../ca.pem\"\n[sandbox]\npythons = [\"py\"]\n";
        std::fs::write(&file, text).expect("written");
        let load = |env: &[(&str, &str)], flags| {
            let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            ServerConfig::load(false, Some(&file), env, flags)
        };
        let config = load(&[], ServerOverrides::default()).expect("good paths");
        assert_eq!(config.store.data, dir.path().join("state"));
        assert_eq!(config.build.ca_file, Some(dir.path().join("../ca.pem")));
        assert_eq!(config.sandbox.pythons, [dir.path().join("py")]);
        let here = std::env::current_dir().expect("a current directory");
        let env = [("FAAS_DATA", "d"), ("FAAS_PYTHONS", ":a:/b"), ("FAAS_BUILD_CA_FILE", "./c")];
        let config = load(&env, ServerOverrides::default()).expect("good paths");
        assert_eq!((config.store.data, config.build.ca_file), (here.join("d"), Some(here.join("c"))));
        assert_eq!(config.sandbox.pythons, [here.join("a"), "/b".into()]);
        let flags = ServerOverrides { data: Some("./x/../y".into()), ..ServerOverrides::default() };
        assert_eq!(load(&[], flags).expect("a good path").store.data, here.join("x/../y"));
        let flags = ServerOverrides { data: Some("".into()), ..ServerOverrides::default() };
        let error = load(&[], flags).expect_err("no path").to_string();
        assert_eq!(error, "store.data must not be empty; name a path");
        let homeless = ServerConfig::load(false, None, |_| None, ServerOverrides::default()).expect("defaults");
        assert_eq!(homeless.store.data, here.join("faas-data"));
    }
}
