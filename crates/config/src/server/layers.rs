//! Where a server's configuration is written: a TOML file, the environment and flags, the later the stronger.

use std::path::Path;

use figment::providers::Serialized;
use figment::util::nest;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Serialize;

use super::settings::{Setting, SettingKind, settings};
use super::{ConfigError, ServerConfig, paths};
use crate::manifest::closest;

/// What the options of a command set.
#[derive(Clone, Debug, Default)]
pub struct Flags(Vec<(&'static str, Value)>);

/// Where the values of a configuration come from.
#[derive(Clone, Debug)]
pub struct Sources(Figment);

/// The layers so far.
pub(super) struct Layers(Figment);

/// One value with where it was written.
struct Written {
    key: String,
    value: Value,
    source: Source,
}

/// Where a value was written.
enum Source {
    File(String),
    Variable(&'static str),
    Flag,
}

// === impl Flags ===

impl Flags {
    /// Sets a setting by its key, such as `engine.drain`; `None` leaves it as it is.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for a value that cannot be written, such as a path that is not UTF-8.
    pub fn set(mut self, key: &'static str, value: Option<impl Serialize>) -> Result<Self, ConfigError> {
        if let Some(value) = value {
            let unusable = |error| ConfigError::OutOfRange { field: key, message: format!("is not usable: {error}") };
            self.0.push((key, Value::serialize(value).map_err(unusable)?));
        }
        Ok(self)
    }
}

// === impl Sources ===

impl Sources {
    /// Where a setting was written: the file, a variable or an option. `None` for a default.
    #[must_use]
    pub fn of(&self, key: &str) -> Option<String> {
        let source = self.0.find_metadata(key)?;
        (source.name != Source::DEFAULT).then(|| source.name.to_string())
    }
}

// === impl Layers ===

impl Layers {
    pub(super) fn new(defaults: &ServerConfig) -> Self {
        struct Defaults<'a>(&'a ServerConfig);

        impl Provider for Defaults<'_> {
            fn metadata(&self) -> Metadata {
                Metadata::named(Source::DEFAULT)
            }

            fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
                Serialized::defaults(self.0).data()
            }
        }
        Self(Figment::from(Defaults(defaults)))
    }

    /// A file; its relative paths start from its directory. All of it is checked here, where its lines are known.
    pub(super) fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
        check_file(&text).map_err(|(line, message)| ConfigError::Invalid { path: path.to_owned(), line, message })?;
        let invalid = |error: &dyn std::fmt::Display| ConfigError::Invalid {
            path: path.to_owned(),
            line: 0,
            message: error.to_string(),
        };
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| invalid(&error))?;
        let base = paths::directory_of(path)?;
        for (section, values) in table {
            for (name, value) in values.as_table().into_iter().flatten() {
                let key = format!("{section}.{name}");
                let value = Value::serialize(value).map_err(|error| invalid(&error))?;
                let value = paths::anchored(&key, value, &base)?;
                self.add(key, value, Source::File(path.display().to_string()));
            }
        }
        Ok(())
    }

    /// The environment; an empty variable says nothing. Relative paths start from the current directory.
    pub(super) fn add_env(&mut self, env: &impl Fn(&str) -> Option<String>) -> Result<(), ConfigError> {
        for setting in settings() {
            let Some(name) = setting.env.as_deref() else { continue };
            let Some(text) = env(name).filter(|text| !text.is_empty()) else { continue };
            let value = value(setting, &text).map_err(|message| ConfigError::Environment { name, message })?;
            let value = paths::anchored(&setting.key, value, Path::new(""))?;
            self.add(setting.key.clone(), value, Source::Variable(name));
        }
        Ok(())
    }

    pub(super) fn add_flags(&mut self, flags: Flags) -> Result<(), ConfigError> {
        for (key, value) in flags.0 {
            let value = paths::anchored(key, value, Path::new(""))?;
            self.add(key.to_owned(), value, Source::Flag);
        }
        Ok(())
    }

    fn add(&mut self, key: String, value: Value, source: Source) {
        self.0 = std::mem::take(&mut self.0).merge(Written { key, value, source });
    }

    /// What the layers make together.
    pub(super) fn merged(self) -> Result<(ServerConfig, Sources), ConfigError> {
        let config = self.0.extract().map_err(|error| of_figment(&error))?;
        Ok((config, Sources(self.0)))
    }
}

/// Reads all of a file; the line and what is wrong with it, which begins with the key where there is one.
fn check_file(text: &str) -> Result<(), (u32, String)> {
    let wrong = |error: &toml::de::Error, key: &str| {
        let line = error.span().map_or(0, |span| text.get(..span.start).unwrap_or(text).matches('\n').count() + 1);
        let said = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        (u32::try_from(line).unwrap_or(u32::MAX), in_words(key, &said))
    };
    let document = toml::Deserializer::parse(text).map_err(|error| wrong(&error, ""))?;
    serde_path_to_error::deserialize::<_, ServerConfig>(document).map(drop).map_err(|error| {
        let key = error.path().to_string();
        wrong(error.inner(), if key == "." { "" } else { &key })
    })
}

/// What a parser says of a key, with what belongs there.
fn in_words(key: &str, said: &str) -> String {
    if let Some((unknown, known)) = said.strip_prefix("unknown field ").and_then(|rest| rest.split_once(", expected "))
    {
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        return match closest(unknown.trim_matches('`'), known.iter().copied()) {
            Some(meant) => format!("unknown field {unknown}; did you mean `{meant}`?"),
            None => format!("unknown field {unknown}; there are {}", known.join(", ")),
        };
    }
    if key.is_empty() {
        return said.to_owned();
    }
    let setting = settings().iter().find(|setting| key == setting.key);
    let fix = match setting.map(|setting| &setting.kind) {
        _ if !said.starts_with("invalid") => "",
        Some(SettingKind::Switch) => "; write true or false",
        Some(SettingKind::Number) => "; write a whole number from 0",
        Some(SettingKind::List(..)) => "; write a list, as in [\"one\", \"other\"]",
        Some(SettingKind::Text(_)) => "; write a text in quotes",
        Some(SettingKind::Table) | None => "",
    };
    format!("{key}: {said}{fix}")
}

/// A value of the environment, as its setting takes it.
fn value(setting: &Setting, text: &str) -> Result<Value, String> {
    Ok(match &setting.kind {
        SettingKind::Switch => switch(text)?.into(),
        SettingKind::Number => {
            text.trim().parse::<u64>().map_err(|_| format!("`{text}` is not a whole number from 0"))?.into()
        }
        SettingKind::Text(_) | SettingKind::Table => text.to_owned().into(),
        SettingKind::List(_, separator) => {
            let parts = text.split(*separator).map(str::trim).filter(|part| *separator == ',' || !part.is_empty());
            parts.map(str::to_owned).collect::<Vec<_>>().into()
        }
    })
}

/// On or off, in the words that people write into an environment.
fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

/// A value that its setting does not take, with where it was written.
fn of_figment(error: &figment::Error) -> ConfigError {
    let key = error.path.join(".");
    let found = settings().iter().find(|setting| key == setting.key || key.starts_with(&format!("{}.", setting.key)));
    let source = error.metadata.as_ref().map(|metadata| metadata.name.as_ref()).unwrap_or_default();
    let message = error.kind.to_string();
    match found.and_then(|setting| setting.env.as_deref()).filter(|name| source.ends_with(name)) {
        Some(name) => ConfigError::Environment { name, message },
        None => ConfigError::OutOfRange {
            field: found.map_or("the configuration", |setting| &setting.key),
            message: format!("is not usable: {message}"),
        },
    }
}

// === impl Source ===

impl Source {
    const DEFAULT: &'static str = "default";

    fn name(&self) -> String {
        match self {
            Self::File(path) => path.clone(),
            Self::Variable(name) => format!("environment variable {name}"),
            Self::Flag => "option".to_owned(),
        }
    }
}

// === impl Written ===

impl Provider for Written {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.name())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let dict = nest(&self.key, self.value.clone()).into_dict().unwrap_or_default();
        Ok(Map::from([(Profile::Default, dict)]))
    }
}

#[cfg(test)]
mod tests {
    use faas_types::{ByteSize, IndexUrl, Span};

    use super::super::default_data_dir;
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn later_layers_win() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("server.toml");
        let (engine, build) =
            ("[engine]\ndrain = \"5s\"\nidle = \"9s\"", "[build]\nallow = [\"mirror.internal:8081\"]");
        std::fs::write(&file, format!("[http]\nlisten = \"127.0.0.1:1\"\n{engine}\n{build}\n")).expect("written");
        let env = |name: &str| match name {
            "FAAS_LISTEN" => Some("127.0.0.1:2".to_owned()),
            "FAAS_DRAIN" => Some("6s".to_owned()),
            "FAAS_UNSAFE_NO_ISOLATION" => Some("1".to_owned()),
            "FAAS_BUILD_INDEXES_PYPI" => Some("https://ci:s3cret@pkgs.internal/simple".to_owned()),
            "FAAS_CALLBACKS_ALLOW" => Some("10.0.0.0/8, hooks.internal".to_owned()),
            "FAAS_RETENTION_RUNS" => Some("2d".to_owned()),
            _ => None,
        };
        let flags = Flags::default().set("http.listen", Some("127.0.0.1:3")).expect("a text");
        let (config, sources) = ServerConfig::load_with_sources(true, Some(&file), env, flags).expect("good layers");
        assert_eq!(config.http.listen.port(), 3, "flag over environment");
        assert_eq!(config.engine.drain, Span::from_secs(6), "environment over file");
        assert_eq!(config.engine.idle, Span::from_secs(9), "file over default");
        assert!(config.sandbox.unsafe_no_isolation);
        let allowed: Vec<_> = config.callbacks.allow.iter().map(ToString::to_string).collect();
        assert_eq!(allowed, ["10.0.0.0/8", "hooks.internal"]);
        assert_eq!(config.build.allow[0].to_string(), "mirror.internal:8081");
        let index = config.build.named_indexes().next().map(IndexUrl::reveal);
        assert_eq!(index, Some("https://ci:s3cret@pkgs.internal/simple"));
        assert!(!format!("{config:?}").contains("s3cret"), "credentials are not shown");
        assert_eq!(config.store.data, Path::new("/var/lib/faas"), "default");
        assert_eq!(config.retention.results, Span::from_secs(2 * 24 * 3_600), "no longer than the runs");
        let source = |key| sources.of(key);
        assert_eq!(source("http.listen").as_deref(), Some("option"));
        assert_eq!(source("engine.drain").as_deref(), Some("environment variable FAAS_DRAIN"));
        assert_eq!(source("engine.idle"), Some(file.display().to_string()));
        assert_eq!(source("engine.lease"), None);
    }

    #[test]
    fn a_bad_layer_names_its_place() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("server.toml");
        std::fs::write(&file, "[http]\nlisten = \"127.0.0.1:1\"\nlisen = 1\n").expect("written");
        let error = ServerConfig::load(false, Some(&file), nothing, Flags::default()).expect_err("a typo");
        assert!(error.to_string().contains("server.toml:3: unknown field `lisen`; did you mean `listen`?"), "{error}");
        for (text, message) in [
            ("[engine]\ndrain = { a = 1 }", ":2: engine.drain: expected a length of time such as \"30s\""),
            ("[egress]\nbandwidth = -5", ":2: egress.bandwidth: expected a size such as \"128MB\""),
            ("[engine]\ninstances_max = -1", "engine.instances_max: invalid value: integer `-1`"),
            ("[engine]\ninstances_max = -1", "write a whole number from 0"),
            ("[http]\nlisten = 8080", ":2: http.listen: "),
            (
                "[egress]\nprivate = \"x\"",
                "egress.private: invalid type: string \"x\", expected a sequence; write a list",
            ),
            ("[http]\nzzz = 1", "unknown field `zzz`; there are "),
            ("[http\n", ":1: "),
        ] {
            std::fs::write(&file, text).expect("written");
            let error = ServerConfig::load(false, Some(&file), nothing, Flags::default()).expect_err(text).to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
        for (key, value) in [
            ("http.public_url", "http://a b"),
            ("http.public_url", "https://x.example/path?q#f"),
            ("egress.proxy", "socks5://10.0.0.9:0"),
            ("egress.resolvers", "1.1.1.1:0"),
        ] {
            let (section, name) = key.split_once('.').expect("a section");
            let value = if key.ends_with('s') { format!("[\"{value}\"]") } else { format!("\"{value}\"") };
            std::fs::write(&file, format!("[{section}]\n{name} = {value}\n")).expect("written");
            let error = ServerConfig::load(false, Some(&file), nothing, Flags::default()).expect_err(key).to_string();
            assert!(error.contains(key), "{key}: {error}");
        }
        for (name, text, message) in [
            ("FAAS_IDLE", "soon", "`soon` is not a length of time"),
            ("FAAS_PARKED", "many", "`many` is not a whole number"),
            ("FAAS_METRICS_OPEN", "perhaps", "`perhaps` is neither true nor false"),
            ("FAAS_LOG_FORMAT", "xml", "`xml` is not a log format; use text or json"),
            ("FAAS_LISTEN", "8080", "did you mean 127.0.0.1:8080?"),
            ("FAAS_BACKGROUND_KEYLESS_PERCENT", "300", "invalid value"),
        ] {
            let env = |asked: &str| (asked == name).then(|| text.to_owned());
            let error = ServerConfig::load(false, None, env, Flags::default()).expect_err(text).to_string();
            let start = format!("environment variable {name} is not usable: ");
            assert!(error.starts_with(&start) && error.contains(message), "{error}");
        }
        let flags = Flags::default().set("engine.instances_max", Some(0)).expect("a number");
        let error = ServerConfig::load(false, None, nothing, flags).expect_err("none at all");
        assert!(error.to_string().starts_with("engine.instances_max must"), "{error}");
        let env = |name: &str| (name == "FAAS_MEMORY_MAX").then(|| "1MB".to_owned());
        let error = ServerConfig::load(false, None, env, Flags::default()).expect_err("too little");
        assert!(error.to_string().starts_with("engine.memory_max must"), "{error}");
    }

    #[test]
    fn every_default_can_be_read_again() {
        let config = ServerConfig::load(false, None, nothing, Flags::default()).expect("defaults");
        let data = config.store.data.clone();
        assert_eq!(config, ServerConfig::with_data_dir(data));
        assert_eq!(config.cache.memory, ByteSize::from_mib(64));
    }

    #[test]
    fn data_has_a_home() {
        let env = |name: &str| (name == "HOME").then(|| "/home/ada".to_owned());
        assert_eq!(default_data_dir(false, env), Path::new("/home/ada/.local/share/faas"));
        assert_eq!(default_data_dir(true, env), Path::new("/var/lib/faas"));
        assert_eq!(default_data_dir(false, nothing), Path::new("faas-data"));
    }
}
