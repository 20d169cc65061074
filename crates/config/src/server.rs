//! What a server runs with.
//!
//! Layers, the later the stronger: defaults, the file (`--config` or `FAAS_CONFIG`), the environment, flags.

mod by_index_kind;
mod egress;
mod error;
mod kinds;
mod layers;
mod listen;
mod paths;
mod preflight_section;
mod reference;
mod sections;
mod settings;
mod unknown_env;

use std::path::{Path, PathBuf};

use faas_preflight::{InvalidPolicy, Policy};
use faas_types::{AllowedTarget, ByteSize, Retention, Span, limits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::layers::Layers;

pub use egress::{EgressSection, PrivateNetwork, ResolverAddress, SourceAddress};
pub use error::ConfigError;
pub use layers::{Flags, Sources};
pub use listen::ListenAddress;
pub use preflight_section::PreflightSection;
pub use reference::{configuration_reference, dump};
pub use sections::{
    BackgroundSection, BuildSection, CacheSection, CallbacksSection, EngineSection, GitSection, HttpSection,
    IdempotencySection, LogFormat, LogSection, MetricsSection, RetentionSection, SandboxSection, ServerSection,
    StoreSection,
};
pub use settings::{OPTIONS, Setting, SettingKind, settings};
pub use unknown_env::{UnknownVariable, unknown_variables};

/// Everything that a server can be told. Constructors take the section they need, never the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
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
    pub retention: RetentionSection,
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
        Self { store: StoreSection { data, runtimes: None }, ..Self::default() }
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
        flags: Flags,
    ) -> Result<Self, ConfigError> {
        Self::load_with_sources(is_root, file, env, flags).map(|(config, _)| config)
    }

    /// As [`load`](Self::load), with where each value comes from.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with_sources(
        is_root: bool,
        file: Option<&Path>,
        env: impl Fn(&str) -> Option<String>,
        flags: Flags,
    ) -> Result<(Self, Sources), ConfigError> {
        let defaults = Self::with_data_dir(paths::absolute("store.data", &default_data_dir(is_root, &env))?);
        let mut layers = Layers::new(&defaults);
        if let Some(path) = file {
            layers.add_file(path)?;
        }
        layers.add_env(&env)?;
        layers.add_flags(flags)?;
        let (mut config, sources) = layers.merged()?;
        if sources.of("retention.results").is_none() {
            // A shorter time for runs alone is not a wish for results that outlive them.
            config.retention.results = config.retention.results.min(config.retention.runs);
        }
        config.check()?;
        Ok((config, sources))
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
        if self.engine.gc_every > month {
            return refuse("engine.gc_every", "must be at most 30d, such as 6h; 0s never collects");
        }
        if self.engine.gc_grace < Span::from_secs(1) || self.engine.gc_grace > month {
            return refuse("engine.gc_grace", "must be between 1s and 30d, such as 24h");
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
        Retention::from(self.retention).check().map_err(|(field, message)| ConfigError::OutOfRange {
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
            Some(url) if !is_origin(url) => refuse(
                "http.public_url",
                "must start with http:// or https://, and name a host without a query, such as https://faas.example",
            ),
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
        build.check_kinds().map_err(|(field, message)| ConfigError::OutOfRange { field, message })?;
        if build.named_indexes().count() > 16 {
            return refuse("build.extra_indexes", "and the other indexes must be at most 16");
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
/// Whether paths can be appended to a URL.
fn is_origin(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.starts_with(['/', ':']) && !rest.contains(|c: char| "?#".contains(c) || c <= ' ')
    })
}
