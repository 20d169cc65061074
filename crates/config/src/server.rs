//! What a server runs with.
//!
//! Layers, the later the stronger: defaults, the file (`--config` or `FAAS_CONFIG`), the environment, flags.

mod egress;
mod layers;
mod listen;
mod paths;
mod sections;
mod strangers;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use faas_preflight::{InvalidPolicy, Policy};
use faas_types::{AllowedTarget, ByteSize, IndexHost, IndexUrl, PythonInstaller, Retention, Span, limits};
use serde::Serialize;

pub use egress::{EgressOverrides, EgressSection, PrivateNetwork, ResolverAddress, SourceAddress};
pub use listen::ListenAddress;
pub use sections::{
    BackgroundSection, BuildSection, CacheSection, CallbacksSection, EngineSection, GitSection, HttpSection,
    IdempotencySection, LogFormat, LogSection, MetricsSection, PreflightSection, SandboxSection, ServerSection,
    StoreSection,
};
pub use strangers::{Stranger, strangers};

/// Everything that a server can be told. Constructors take the section they need, never the whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerConfig {
    /// What stands in front of it.
    pub server: ServerSection,
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
    /// What it tells collectors.
    pub metrics: MetricsSection,
    /// Answers that functions allow to be kept.
    pub cache: CacheSection,
    /// Messages about ended runs.
    pub callbacks: CallbacksSection,
    /// Runs that are accepted in the background.
    pub background: BackgroundSection,
    /// Names that callers give to their requests.
    pub idempotency: IdempotencySection,
    /// What uploads are refused for.
    pub preflight: PreflightSection,
    /// How packages that functions ask for are installed.
    pub build: BuildSection,
    /// What functions may connect to.
    pub egress: EgressSection,
    /// What `git push` may leave on the disk.
    pub git: GitSection,
}

/// What flags say; `None` leaves the layer below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field overrides the section field of the same name")]
pub struct ServerOverrides {
    pub listen: Option<SocketAddr>,
    pub public_url: Option<String>,
    pub trusted_proxies: Option<Vec<AllowedTarget>>,
    pub data: Option<PathBuf>,
    pub unsafe_no_isolation: Option<bool>,
    pub pythons: Option<Vec<PathBuf>>,
    pub drain: Option<Span>,
    pub idle: Option<Span>,
    pub lease: Option<Span>,
    pub instances_max: Option<u32>,
    pub memory_max: Option<ByteSize>,
    pub parked: Option<u32>,
    pub versions_kept: Option<u32>,
    pub collect_every: Option<Span>,
    pub collect_grace: Option<Span>,
    pub retention_runs: Option<Span>,
    pub retention_run_bytes: Option<ByteSize>,
    pub retention_results: Option<Span>,
    pub retention_logs: Option<Span>,
    pub retention_log_bytes: Option<ByteSize>,
    pub log_format: Option<LogFormat>,
    pub log_filter: Option<String>,
    pub connections_max: Option<u32>,
    pub head_timeout: Option<Span>,
    pub head_max: Option<ByteSize>,
    pub headers_max: Option<u32>,
    pub idle_timeout: Option<Span>,
    pub send_timeout: Option<Span>,
    pub metrics_open: Option<bool>,
    pub metrics_functions_max: Option<u32>,
    pub cache_memory: Option<ByteSize>,
    pub callbacks_allow: Option<Vec<AllowedTarget>>,
    pub callbacks_attempts_max: Option<u32>,
    pub callbacks_backoff: Option<Span>,
    pub callbacks_waiting_bytes: Option<ByteSize>,
    pub background_waiting_bytes: Option<ByteSize>,
    pub background_project_waiting_bytes: Option<ByteSize>,
    pub background_input_bytes: Option<ByteSize>,
    pub background_project_input_bytes: Option<ByteSize>,
    pub background_keyless_percent: Option<u8>,
    pub idempotency_keys_max: Option<u64>,
    pub idempotency_project_keys_max: Option<u64>,
    pub idempotency_answer_bytes: Option<ByteSize>,
    pub idempotency_project_answer_bytes: Option<ByteSize>,
    pub preflight_secrets: Option<bool>,
    pub preflight_blocked_files: Option<Vec<String>>,
    pub preflight_blocked_text: Option<Vec<String>>,
    pub preflight_blocked_imports: Option<Vec<String>>,
    pub build_python_installer: Option<PythonInstaller>,
    pub build_python_index: Option<IndexUrl>,
    pub build_python_extra_indexes: Option<Vec<IndexUrl>>,
    pub build_python_find_links: Option<Vec<IndexUrl>>,
    pub build_npm_registry: Option<IndexUrl>,
    pub build_ca_file: Option<PathBuf>,
    pub build_allow: Option<Vec<IndexHost>>,
    pub build_memory: Option<ByteSize>,
    pub build_disk: Option<ByteSize>,
    pub build_timeout: Option<Span>,
    pub build_at_once: Option<u32>,
    pub egress: EgressOverrides,
    pub git_repository_max: Option<ByteSize>,
    pub git_project_max: Option<ByteSize>,
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
            server: ServerSection::default(),
            http: HttpSection::default(),
            store: StoreSection { data, runtimes: None },
            sandbox: SandboxSection::default(),
            engine: EngineSection::default(),
            retention: Retention::default(),
            log: LogSection::default(),
            metrics: MetricsSection::default(),
            cache: CacheSection::default(),
            callbacks: CallbacksSection::default(),
            background: BackgroundSection::default(),
            idempotency: IdempotencySection::default(),
            preflight: PreflightSection::default(),
            build: BuildSection::default(),
            egress: EgressSection::default(),
            git: GitSection::default(),
        }
    }

    /// Merges all layers and checks the outcome. `file` comes from `--config` or `FAAS_CONFIG`; `env` looks up
    /// an environment variable. Every path of the outcome is absolute: those of the file start from its directory, the
    /// others from the current one.
    ///
    /// # Errors
    /// The first value that cannot be read or is out of range, naming its source.
    pub fn load(
        is_root: bool,
        file: Option<&Path>,
        env: impl Fn(&str) -> Option<String>,
        flags: ServerOverrides,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::with_data_dir(paths::absolute("store.data", &default_data_dir(is_root, &env))?);
        if let Some(path) = file {
            config.apply(paths::of_file(layers::from_file(path)?, path)?);
        }
        config.apply(paths::of_here(layers::from_env(&env)?)?);
        config.apply(paths::of_here(flags)?);
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
        set(&mut self.server.trusted_proxies, layer.trusted_proxies);
        set(&mut self.store.data, layer.data);
        set(&mut self.sandbox.unsafe_no_isolation, layer.unsafe_no_isolation);
        set(&mut self.sandbox.pythons, layer.pythons);
        set(&mut self.engine.drain, layer.drain);
        set(&mut self.engine.idle, layer.idle);
        set(&mut self.engine.lease, layer.lease);
        set(&mut self.engine.instances_max, layer.instances_max);
        self.engine.memory_max = layer.memory_max.or(self.engine.memory_max.take());
        set(&mut self.engine.parked, layer.parked);
        set(&mut self.engine.versions_kept, layer.versions_kept);
        set(&mut self.engine.collect_every, layer.collect_every);
        set(&mut self.engine.collect_grace, layer.collect_grace);
        set(&mut self.retention.runs, layer.retention_runs);
        // Who only says how long runs are kept has not asked for results that outlive them.
        self.retention.results = layer.retention_results.unwrap_or(self.retention.results.min(self.retention.runs));
        set(&mut self.retention.run_bytes, layer.retention_run_bytes);
        set(&mut self.retention.logs, layer.retention_logs);
        set(&mut self.retention.log_bytes, layer.retention_log_bytes);
        set(&mut self.log.format, layer.log_format);
        set(&mut self.log.filter, layer.log_filter);
        set(&mut self.http.connections_max, layer.connections_max);
        set(&mut self.http.head_timeout, layer.head_timeout);
        set(&mut self.http.head_max, layer.head_max);
        set(&mut self.http.headers_max, layer.headers_max);
        set(&mut self.http.idle_timeout, layer.idle_timeout);
        set(&mut self.http.send_timeout, layer.send_timeout);
        set(&mut self.metrics.open, layer.metrics_open);
        set(&mut self.metrics.functions_max, layer.metrics_functions_max);
        set(&mut self.cache.memory, layer.cache_memory);
        set(&mut self.callbacks.allow, layer.callbacks_allow);
        set(&mut self.callbacks.attempts_max, layer.callbacks_attempts_max);
        set(&mut self.callbacks.backoff, layer.callbacks_backoff);
        set(&mut self.callbacks.waiting_bytes, layer.callbacks_waiting_bytes);
        set(&mut self.background.waiting_bytes, layer.background_waiting_bytes);
        set(&mut self.background.project_waiting_bytes, layer.background_project_waiting_bytes);
        set(&mut self.background.input_bytes, layer.background_input_bytes);
        set(&mut self.background.project_input_bytes, layer.background_project_input_bytes);
        set(&mut self.background.keyless_percent, layer.background_keyless_percent);
        set(&mut self.idempotency.keys_max, layer.idempotency_keys_max);
        set(&mut self.idempotency.project_keys_max, layer.idempotency_project_keys_max);
        set(&mut self.idempotency.answer_bytes, layer.idempotency_answer_bytes);
        set(&mut self.idempotency.project_answer_bytes, layer.idempotency_project_answer_bytes);
        set(&mut self.preflight.secrets, layer.preflight_secrets);
        set(&mut self.preflight.blocked_files, layer.preflight_blocked_files);
        set(&mut self.preflight.blocked_text, layer.preflight_blocked_text);
        set(&mut self.preflight.blocked_imports, layer.preflight_blocked_imports);
        set(&mut self.build.python_installer, layer.build_python_installer);
        self.build.python_index = layer.build_python_index.or(self.build.python_index.take());
        set(&mut self.build.python_extra_indexes, layer.build_python_extra_indexes);
        set(&mut self.build.python_find_links, layer.build_python_find_links);
        self.build.npm_registry = layer.build_npm_registry.or(self.build.npm_registry.take());
        self.build.ca_file = layer.build_ca_file.or(self.build.ca_file.take());
        set(&mut self.build.allow, layer.build_allow);
        set(&mut self.build.memory, layer.build_memory);
        set(&mut self.build.disk, layer.build_disk);
        set(&mut self.build.timeout, layer.build_timeout);
        set(&mut self.build.at_once, layer.build_at_once);
        self.egress.apply(layer.egress);
        set(&mut self.git.repository_max, layer.git_repository_max);
        set(&mut self.git.project_max, layer.git_project_max);
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
        if self.engine.lease < Span::from_secs(1) || self.engine.lease > hour {
            return refuse("engine.lease", "must be between 1s and 1h, such as 30s");
        }
        if !(1..=10_000).contains(&self.engine.instances_max) {
            return refuse("engine.instances_max", "must be from 1 to 10000");
        }
        if self.engine.memory_max.is_some_and(|bytes| bytes < limits::MEMORY_MIN) {
            return refuse("engine.memory_max", "must be at least 128MB, such as 8GB");
        }
        if self.engine.parked > 64 {
            return refuse("engine.parked", "must be at most 64, such as 4");
        }
        if !(1..=10_000).contains(&self.engine.versions_kept) {
            return refuse("engine.versions_kept", "must be from 1 to 10000, such as 50");
        }
        let month = Span::from_secs(30 * 24 * 3_600);
        if self.engine.collect_every > month {
            return refuse("engine.collect_every", "must be at most 30d, such as 6h; 0s never collects");
        }
        if self.engine.collect_grace < Span::from_secs(1) || self.engine.collect_grace > month {
            return refuse("engine.collect_grace", "must be between 1s and 30d, such as 24h");
        }
        self.check_proxies()?;
        self.check_http()?;
        if self.metrics.functions_max > 10_000 {
            return refuse("metrics.functions_max", "must be from 0 to 10000");
        }
        if self.cache.memory > ByteSize::from_mib(64 << 10) {
            return refuse("cache.memory", "must be at most 64GB, such as 64MB; 0 turns it off");
        }
        self.check_callbacks()?;
        self.check_background()?;
        Policy::of_operator(&self.preflight.rules())
            .map_err(|InvalidPolicy { field, message }| ConfigError::OutOfRange { field, message })?;
        self.check_build()?;
        self.egress.check()?;
        self.git.check().map_err(|(field, message)| ConfigError::OutOfRange { field, message })?;
        self.retention.check().map_err(|(field, message)| ConfigError::OutOfRange {
            field: match field {
                "runs" => "retention.runs",
                "run_bytes" => "retention.run_bytes",
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

    fn check_proxies(&self) -> Result<(), ConfigError> {
        let refuse = |message: &str| {
            Err(ConfigError::OutOfRange { field: "server.trusted_proxies", message: message.to_owned() })
        };
        let proxies = &self.server.trusted_proxies;
        if proxies.len() > limits::ALLOWED_TARGETS_MAX {
            return refuse("must have at most 256 addresses and networks");
        }
        // A name can lead elsewhere tomorrow, and a connection has an address only.
        match proxies.iter().find(|proxy| matches!(proxy, AllowedTarget::Host(_))) {
            Some(host) => refuse(&format!("takes addresses and networks such as 10.0.0.0/8, not the name {host}")),
            None => Ok(()),
        }
    }

    fn check_callbacks(&self) -> Result<(), ConfigError> {
        let refuse = |field, message: &str| Err(ConfigError::OutOfRange { field, message: message.to_owned() });
        let callbacks = &self.callbacks;
        if callbacks.allow.len() > limits::ALLOWED_TARGETS_MAX {
            return refuse("callbacks.allow", "must have at most 256 networks and hosts");
        }
        if !(1..=limits::CALLBACK_ATTEMPTS_MAX).contains(&callbacks.attempts_max) {
            return refuse("callbacks.attempts_max", "must be from 1 to 50");
        }
        if callbacks.backoff < Span::from_millis(10) || callbacks.backoff > Span::from_secs(3_600) {
            return refuse("callbacks.backoff", "must be between 10ms and 1h, such as 5s");
        }
        Ok(())
    }

    fn check_background(&self) -> Result<(), ConfigError> {
        let refuse = |field, message: &str| Err(ConfigError::OutOfRange { field, message: message.to_owned() });
        let BackgroundSection { waiting_bytes, project_waiting_bytes, input_bytes, project_input_bytes, .. } =
            self.background;
        let largest = ByteSize::from_mib(1)..=ByteSize::from_mib(1 << 20);
        for (field, bytes) in [
            ("background.waiting_bytes", waiting_bytes),
            ("background.project_waiting_bytes", project_waiting_bytes),
            ("background.input_bytes", input_bytes),
            ("background.project_input_bytes", project_input_bytes),
        ] {
            if !largest.contains(&bytes) {
                return refuse(field, "must be from 1MB to 1TB, such as 1GB");
            }
        }
        if self.background.keyless_percent > 100 {
            return refuse("background.keyless_percent", "must be from 0 to 100, such as 50");
        }
        let IdempotencySection { keys_max, project_keys_max, .. } = self.idempotency;
        for (field, keys) in [("idempotency.keys_max", keys_max), ("idempotency.project_keys_max", project_keys_max)] {
            if !(1..=1_000_000_000).contains(&keys) {
                return refuse(field, "must be from 1 to 1000000000, such as 1000000");
            }
        }
        Ok(())
    }

    fn check_build(&self) -> Result<(), ConfigError> {
        let refuse = |field, message: &str| Err(ConfigError::OutOfRange { field, message: message.to_owned() });
        let build = &self.build;
        if build.allow.len() > limits::ALLOWED_TARGETS_MAX {
            return refuse("build.allow", "must have at most 256 hosts");
        }
        if build.indexes().count() > 16 {
            return refuse("build.python_extra_indexes", "and the other indexes must be at most 16");
        }
        if !(ByteSize::from_mib(256)..=ByteSize::from_mib(64 << 10)).contains(&build.memory) {
            return refuse("build.memory", "must be from 256MB to 64GB, such as 1536MB");
        }
        if !(ByteSize::from_mib(64)..=build.memory).contains(&build.disk) {
            return refuse("build.disk", "must be from 64MB to build.memory, of which it is a part");
        }
        if !(Span::from_secs(1)..=Span::from_secs(limits::BUILD_TIME_MAX.as_secs())).contains(&build.timeout) {
            return refuse("build.timeout", "must be between 1s and 30m, such as 10m");
        }
        if !(1..=64).contains(&build.at_once) {
            return refuse("build.at_once", "must be from 1 to 64");
        }
        Ok(())
    }

    fn check_http(&self) -> Result<(), ConfigError> {
        let refuse = |field, message: &str| Err(ConfigError::OutOfRange { field, message: message.to_owned() });
        let span = |span: Span, most: u64| (Span::from_secs(1)..=Span::from_secs(most)).contains(&span);
        let http = &self.http;
        if !(16..=1_000_000).contains(&http.connections_max) {
            return refuse("http.connections_max", "must be from 16 to 1000000");
        }
        if !span(http.head_timeout, 300) {
            return refuse("http.head_timeout", "must be between 1s and 5m, such as 10s");
        }
        if !(ByteSize::from_bytes(8 << 10)..=ByteSize::from_mib(1)).contains(&http.head_max) {
            return refuse("http.head_max", "must be between 8KB and 1MB, such as 64KB");
        }
        if !(16..=1_000).contains(&http.headers_max) {
            return refuse("http.headers_max", "must be from 16 to 1000");
        }
        if !span(http.idle_timeout, 24 * 3_600) {
            return refuse("http.idle_timeout", "must be between 1s and 24h, such as 75s");
        }
        if !span(http.send_timeout, 3_600) {
            return refuse("http.send_timeout", "must be between 1s and 1h, such as 30s");
        }
        Ok(())
    }
}
