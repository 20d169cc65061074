//! What a server runs with.
//!
//! Layers, the later the stronger: defaults, the file (`--config` or `FAAS_CONFIG`), the environment, flags.

mod layers;
mod sections;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use faas_types::{ByteSize, Retention, Span};
use serde::Serialize;

pub use sections::{EngineSection, HttpSection, LogFormat, LogSection, SandboxSection, StoreSection};

/// Everything that a server can be told. Constructors take the section they need, never the whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerConfig {
    /// The door.
    pub http: HttpSection,
    /// Where state lives.
    pub store: StoreSection,
    /// How functions are confined.
    pub sandbox: SandboxSection,
    /// How instances live and die.
    pub engine: EngineSection,
    /// How long a project's history is kept that has no settings of its own.
    pub retention: Retention,
    /// What the server says of itself.
    pub log: LogSection,
}

/// What flags say; `None` leaves the layer below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field overrides the section field of the same name")]
pub struct ServerOverrides {
    pub listen: Option<SocketAddr>,
    pub public_url: Option<String>,
    pub data: Option<PathBuf>,
    pub unsafe_no_isolation: Option<bool>,
    pub pythons: Option<Vec<PathBuf>>,
    pub drain: Option<Span>,
    pub idle: Option<Span>,
    pub instances_max: Option<u32>,
    pub retention_runs: Option<Span>,
    pub retention_results: Option<Span>,
    pub retention_logs: Option<Span>,
    pub retention_log_bytes: Option<ByteSize>,
    pub log_format: Option<LogFormat>,
    pub log_filter: Option<String>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration file {path}: {error}; check --config or FAAS_CONFIG")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is wrong.
    #[error("{path}:{line}: {message}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, from 1; 0 when unknown.
        line: u32,
        /// What is wrong.
        message: String,
    },
    /// An environment variable is wrong.
    #[error("environment variable {name} is not usable: {message}")]
    Environment {
        /// The variable.
        name: &'static str,
        /// What is wrong.
        message: String,
    },
    /// A value is out of its range, wherever it came from.
    #[error("{field} {message}")]
    OutOfRange {
        /// The key, such as `engine.drain`.
        field: &'static str,
        /// The range and a good value.
        message: String,
    },
}

/// Where data lives when nobody says: `/var/lib/faas` for root, otherwise `$XDG_DATA_HOME/faas` or
/// `~/.local/share/faas`, and `./faas-data` for a user without a home.
///
/// `env` looks up an environment variable.
#[must_use]
pub fn default_data_dir(is_root: bool, env: impl Fn(&str) -> Option<String>) -> PathBuf {
    if is_root {
        return PathBuf::from("/var/lib/faas");
    }
    let absolute = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map_or_else(|| PathBuf::from("faas-data"), |base| base.join("faas"))
}

// === impl ServerConfig ===

impl ServerConfig {
    /// The defaults with data in `data`.
    #[must_use]
    pub fn with_data_dir(data: PathBuf) -> Self {
        Self {
            http: HttpSection::default(),
            store: StoreSection { data },
            sandbox: SandboxSection::default(),
            engine: EngineSection::default(),
            retention: Retention::default(),
            log: LogSection::default(),
        }
    }

    /// Merges all layers and checks the outcome. `file` comes from `--config` or `FAAS_CONFIG`; `env` looks up
    /// an environment variable.
    ///
    /// # Errors
    /// The first value that cannot be read or is out of range, naming its source.
    pub fn load(
        is_root: bool,
        file: Option<&Path>,
        env: impl Fn(&str) -> Option<String>,
        flags: ServerOverrides,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::with_data_dir(default_data_dir(is_root, &env));
        if let Some(path) = file {
            config.apply(layers::from_file(path)?);
        }
        config.apply(layers::from_env(&env)?);
        config.apply(flags);
        config.check()?;
        Ok(config)
    }

    fn apply(&mut self, layer: ServerOverrides) {
        fn set<T>(target: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *target = value;
            }
        }
        set(&mut self.http.listen, layer.listen);
        self.http.public_url = layer.public_url.or(self.http.public_url.take());
        set(&mut self.store.data, layer.data);
        set(&mut self.sandbox.unsafe_no_isolation, layer.unsafe_no_isolation);
        set(&mut self.sandbox.pythons, layer.pythons);
        set(&mut self.engine.drain, layer.drain);
        set(&mut self.engine.idle, layer.idle);
        set(&mut self.engine.instances_max, layer.instances_max);
        set(&mut self.retention.runs, layer.retention_runs);
        // Who only says how long runs are kept has not asked for results that outlive them.
        self.retention.results = layer.retention_results.unwrap_or(self.retention.results.min(self.retention.runs));
        set(&mut self.retention.logs, layer.retention_logs);
        set(&mut self.retention.log_bytes, layer.retention_log_bytes);
        set(&mut self.log.format, layer.log_format);
        set(&mut self.log.filter, layer.log_filter);
    }

    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |field, message: &str| Err(ConfigError::OutOfRange { field, message: message.to_owned() });
        let hour = Span::from_secs(3_600);
        if self.engine.drain > hour {
            return refuse("engine.drain", "must be at most 1h, such as 30s");
        }
        if self.engine.idle < Span::from_secs(1) || self.engine.idle > Span::from_secs(24 * 3_600) {
            return refuse("engine.idle", "must be between 1s and 24h, such as 5m");
        }
        if !(1..=10_000).contains(&self.engine.instances_max) {
            return refuse("engine.instances_max", "must be from 1 to 10000");
        }
        self.retention.check().map_err(|(field, message)| ConfigError::OutOfRange {
            field: match field {
                "runs" => "retention.runs",
                "results" => "retention.results",
                "logs" => "retention.logs",
                _ => "retention.log_bytes",
            },
            message,
        })?;
        match &self.http.public_url {
            Some(url) if !(url.starts_with("http://") || url.starts_with("https://")) => {
                refuse("http.public_url", "must start with http:// or https://")
            }
            _ => Ok(()),
        }
    }
}
