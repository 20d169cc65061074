//! Where a server's configuration is written: a TOML file and the environment.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use faas_types::{AllowedTarget, ByteSize, IndexHost, IndexUrl, PythonInstaller, Span};
use serde::Deserialize;

use super::{ConfigError, EgressOverrides, ListenAddress, LogFormat, ServerOverrides};

/// The file, with the keys of the sections.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FileLayer {
    server: ServerLayer,
    http: HttpLayer,
    store: StoreLayer,
    sandbox: SandboxLayer,
    engine: EngineLayer,
    retention: RetentionLayer,
    log: LogLayer,
    metrics: MetricsLayer,
    cache: CacheLayer,
    callbacks: CallbacksLayer,
    background: BackgroundLayer,
    idempotency: IdempotencyLayer,
    preflight: PreflightLayer,
    build: BuildLayer,
    egress: EgressOverrides,
    git: GitLayer,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ServerLayer {
    trusted_proxies: Option<Vec<AllowedTarget>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HttpLayer {
    listen: Option<ListenAddress>,
    public_url: Option<String>,
    connections_max: Option<u32>,
    head_timeout: Option<Span>,
    head_max: Option<ByteSize>,
    headers_max: Option<u32>,
    idle_timeout: Option<Span>,
    send_timeout: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MetricsLayer {
    open: Option<bool>,
    functions_max: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CacheLayer {
    memory: Option<ByteSize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PreflightLayer {
    secrets: Option<bool>,
    blocked_files: Option<Vec<String>>,
    blocked_text: Option<Vec<String>>,
    blocked_imports: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CallbacksLayer {
    allow: Option<Vec<AllowedTarget>>,
    attempts_max: Option<u32>,
    backoff: Option<Span>,
    waiting_bytes: Option<ByteSize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct BackgroundLayer {
    waiting_bytes: Option<ByteSize>,
    project_waiting_bytes: Option<ByteSize>,
    input_bytes: Option<ByteSize>,
    project_input_bytes: Option<ByteSize>,
    keyless_percent: Option<u8>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct IdempotencyLayer {
    keys_max: Option<u64>,
    project_keys_max: Option<u64>,
    answer_bytes: Option<ByteSize>,
    project_answer_bytes: Option<ByteSize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct BuildLayer {
    python_installer: Option<PythonInstaller>,
    python_index: Option<IndexUrl>,
    python_extra_indexes: Option<Vec<IndexUrl>>,
    python_find_links: Option<Vec<IndexUrl>>,
    npm_registry: Option<IndexUrl>,
    ca_file: Option<PathBuf>,
    allow: Option<Vec<IndexHost>>,
    memory: Option<ByteSize>,
    disk: Option<ByteSize>,
    timeout: Option<Span>,
    at_once: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GitLayer {
    repository_max: Option<ByteSize>,
    project_max: Option<ByteSize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct StoreLayer {
    data: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SandboxLayer {
    unsafe_no_isolation: Option<bool>,
    pythons: Option<Vec<PathBuf>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct EngineLayer {
    drain: Option<Span>,
    idle: Option<Span>,
    lease: Option<Span>,
    instances_max: Option<u32>,
    memory_max: Option<ByteSize>,
    parked: Option<u32>,
    versions_kept: Option<u32>,
    collect_every: Option<Span>,
    collect_grace: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RetentionLayer {
    runs: Option<Span>,
    run_bytes: Option<ByteSize>,
    results: Option<Span>,
    logs: Option<Span>,
    log_bytes: Option<ByteSize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LogLayer {
    format: Option<LogFormat>,
    filter: Option<String>,
}

pub(super) fn from_file(path: &Path) -> Result<ServerOverrides, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
    let file: FileLayer = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(0, |span| text.get(..span.start).unwrap_or(&text).matches('\n').count() + 1);
        let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        ConfigError::Invalid { path: path.to_owned(), line: u32::try_from(line).unwrap_or(u32::MAX), message }
    })?;
    Ok(file.into())
}

pub(super) fn from_env(env: &impl Fn(&'static str) -> Option<String>) -> Result<ServerOverrides, ConfigError> {
    let text = |name: &'static str| env(name).filter(|value| !value.is_empty());
    let paths = |list: String| std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect();
    let pythons = text("FAAS_PYTHONS").map(paths);
    Ok(ServerOverrides {
        listen: parsed(env, "FAAS_LISTEN")?.map(|ListenAddress(address)| address),
        public_url: text("FAAS_PUBLIC_URL"),
        trusted_proxies: parsed(env, "FAAS_SERVER_TRUSTED_PROXIES")?.map(|List(list)| list),
        data: text("FAAS_DATA").map(PathBuf::from),
        unsafe_no_isolation: parsed(env, "FAAS_UNSAFE_NO_ISOLATION")?.map(|Switch(on)| on),
        pythons,
        drain: parsed(env, "FAAS_DRAIN")?,
        idle: parsed(env, "FAAS_IDLE")?,
        lease: parsed(env, "FAAS_LEASE")?,
        instances_max: parsed(env, "FAAS_INSTANCES_MAX")?,
        memory_max: parsed(env, "FAAS_MEMORY_MAX")?,
        parked: parsed(env, "FAAS_PARKED")?,
        versions_kept: parsed(env, "FAAS_VERSIONS_KEPT")?,
        collect_every: parsed(env, "FAAS_COLLECT_EVERY")?,
        collect_grace: parsed(env, "FAAS_COLLECT_GRACE")?,
        retention_runs: parsed(env, "FAAS_RETENTION_RUNS")?,
        retention_run_bytes: parsed(env, "FAAS_RETENTION_RUN_BYTES")?,
        retention_results: parsed(env, "FAAS_RETENTION_RESULTS")?,
        retention_logs: parsed(env, "FAAS_RETENTION_LOGS")?,
        retention_log_bytes: parsed(env, "FAAS_RETENTION_LOG_BYTES")?,
        log_format: parsed(env, "FAAS_LOG_FORMAT")?,
        log_filter: text("FAAS_LOG"),
        connections_max: parsed(env, "FAAS_CONNECTIONS_MAX")?,
        head_timeout: parsed(env, "FAAS_HEAD_TIMEOUT")?,
        head_max: parsed(env, "FAAS_HEAD_MAX")?,
        headers_max: parsed(env, "FAAS_HEADERS_MAX")?,
        idle_timeout: parsed(env, "FAAS_IDLE_TIMEOUT")?,
        send_timeout: parsed(env, "FAAS_SEND_TIMEOUT")?,
        metrics_open: parsed(env, "FAAS_METRICS_OPEN")?.map(|Switch(on)| on),
        metrics_functions_max: parsed(env, "FAAS_METRICS_FUNCTIONS_MAX")?,
        cache_memory: parsed(env, "FAAS_CACHE_MEMORY")?,
        callbacks_allow: parsed(env, "FAAS_CALLBACKS_ALLOW")?.map(|List(list)| list),
        callbacks_attempts_max: parsed(env, "FAAS_CALLBACKS_ATTEMPTS_MAX")?,
        callbacks_backoff: parsed(env, "FAAS_CALLBACKS_BACKOFF")?,
        callbacks_waiting_bytes: parsed(env, "FAAS_CALLBACKS_WAITING_BYTES")?,
        background_waiting_bytes: parsed(env, "FAAS_BACKGROUND_WAITING_BYTES")?,
        background_project_waiting_bytes: parsed(env, "FAAS_BACKGROUND_PROJECT_WAITING_BYTES")?,
        background_input_bytes: parsed(env, "FAAS_BACKGROUND_INPUT_BYTES")?,
        background_project_input_bytes: parsed(env, "FAAS_BACKGROUND_PROJECT_INPUT_BYTES")?,
        background_keyless_percent: parsed(env, "FAAS_BACKGROUND_KEYLESS_PERCENT")?,
        idempotency_keys_max: parsed(env, "FAAS_IDEMPOTENCY_KEYS_MAX")?,
        idempotency_project_keys_max: parsed(env, "FAAS_IDEMPOTENCY_PROJECT_KEYS_MAX")?,
        idempotency_answer_bytes: parsed(env, "FAAS_IDEMPOTENCY_ANSWER_BYTES")?,
        idempotency_project_answer_bytes: parsed(env, "FAAS_IDEMPOTENCY_PROJECT_ANSWER_BYTES")?,
        preflight_secrets: parsed(env, "FAAS_PREFLIGHT_SECRETS")?.map(|Switch(on)| on),
        preflight_blocked_files: text("FAAS_PREFLIGHT_BLOCKED_FILES").map(|list| words(&list)),
        // A regular expression may hold a comma: these come from the file alone.
        preflight_blocked_text: None,
        preflight_blocked_imports: text("FAAS_PREFLIGHT_BLOCKED_IMPORTS").map(|list| words(&list)),
        build_python_installer: parsed(env, "FAAS_BUILD_PYTHON_INSTALLER")?,
        build_python_index: parsed(env, "FAAS_BUILD_PYTHON_INDEX")?,
        build_python_extra_indexes: parsed(env, "FAAS_BUILD_PYTHON_EXTRA_INDEXES")?.map(|List(list)| list),
        build_python_find_links: parsed(env, "FAAS_BUILD_PYTHON_FIND_LINKS")?.map(|List(list)| list),
        build_npm_registry: parsed(env, "FAAS_BUILD_NPM_REGISTRY")?,
        build_ca_file: text("FAAS_BUILD_CA_FILE").map(PathBuf::from),
        build_allow: parsed(env, "FAAS_BUILD_ALLOW")?.map(|List(list)| list),
        build_memory: parsed(env, "FAAS_BUILD_MEMORY")?,
        build_disk: parsed(env, "FAAS_BUILD_DISK")?,
        build_timeout: parsed(env, "FAAS_BUILD_TIMEOUT")?,
        build_at_once: parsed(env, "FAAS_BUILD_AT_ONCE")?,
        egress: EgressOverrides::from_env(env)?,
        git_repository_max: parsed(env, "FAAS_GIT_REPOSITORY_MAX")?,
        git_project_max: parsed(env, "FAAS_GIT_PROJECT_MAX")?,
    })
}

/// On or off, in the words that people write into an environment.
struct Switch(bool);

impl FromStr for Switch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(Self(true)),
            "0" | "false" | "no" | "off" => Ok(Self(false)),
            _ => Err(format!("`{text}` is neither true nor false")),
        }
    }
}

/// Words with commas between.
fn words(list: &str) -> Vec<String> {
    list.split(',').map(|word| word.trim().to_owned()).collect()
}

/// Values with commas between.
pub(super) struct List<T>(pub(super) Vec<T>);

impl<T: FromStr> FromStr for List<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        text.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

pub(super) fn parsed<T>(
    env: &impl Fn(&'static str) -> Option<String>,
    name: &'static str,
) -> Result<Option<T>, ConfigError>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    let Some(text) = env(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|error: T::Err| ConfigError::Environment { name, message: error.to_string() })
}

// === impl FileLayer ===

impl From<FileLayer> for ServerOverrides {
    fn from(file: FileLayer) -> Self {
        Self {
            listen: file.http.listen.map(|ListenAddress(address)| address),
            public_url: file.http.public_url,
            trusted_proxies: file.server.trusted_proxies,
            data: file.store.data,
            unsafe_no_isolation: file.sandbox.unsafe_no_isolation,
            pythons: file.sandbox.pythons,
            drain: file.engine.drain,
            idle: file.engine.idle,
            lease: file.engine.lease,
            instances_max: file.engine.instances_max,
            memory_max: file.engine.memory_max,
            parked: file.engine.parked,
            versions_kept: file.engine.versions_kept,
            collect_every: file.engine.collect_every,
            collect_grace: file.engine.collect_grace,
            retention_runs: file.retention.runs,
            retention_run_bytes: file.retention.run_bytes,
            retention_results: file.retention.results,
            retention_logs: file.retention.logs,
            retention_log_bytes: file.retention.log_bytes,
            log_format: file.log.format,
            log_filter: file.log.filter,
            connections_max: file.http.connections_max,
            head_timeout: file.http.head_timeout,
            head_max: file.http.head_max,
            headers_max: file.http.headers_max,
            idle_timeout: file.http.idle_timeout,
            send_timeout: file.http.send_timeout,
            metrics_open: file.metrics.open,
            metrics_functions_max: file.metrics.functions_max,
            cache_memory: file.cache.memory,
            callbacks_allow: file.callbacks.allow,
            callbacks_attempts_max: file.callbacks.attempts_max,
            callbacks_backoff: file.callbacks.backoff,
            callbacks_waiting_bytes: file.callbacks.waiting_bytes,
            background_waiting_bytes: file.background.waiting_bytes,
            background_project_waiting_bytes: file.background.project_waiting_bytes,
            background_input_bytes: file.background.input_bytes,
            background_project_input_bytes: file.background.project_input_bytes,
            background_keyless_percent: file.background.keyless_percent,
            idempotency_keys_max: file.idempotency.keys_max,
            idempotency_project_keys_max: file.idempotency.project_keys_max,
            idempotency_answer_bytes: file.idempotency.answer_bytes,
            idempotency_project_answer_bytes: file.idempotency.project_answer_bytes,
            preflight_secrets: file.preflight.secrets,
            preflight_blocked_files: file.preflight.blocked_files,
            preflight_blocked_text: file.preflight.blocked_text,
            preflight_blocked_imports: file.preflight.blocked_imports,
            build_python_installer: file.build.python_installer,
            build_python_index: file.build.python_index,
            build_python_extra_indexes: file.build.python_extra_indexes,
            build_python_find_links: file.build.python_find_links,
            build_npm_registry: file.build.npm_registry,
            build_ca_file: file.build.ca_file,
            build_allow: file.build.allow,
            build_memory: file.build.memory,
            build_disk: file.build.disk,
            build_timeout: file.build.timeout,
            build_at_once: file.build.at_once,
            egress: file.egress,
            git_repository_max: file.git.repository_max,
            git_project_max: file.git.project_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ServerConfig, default_data_dir};
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
            "FAAS_BUILD_PYTHON_INDEX" => Some("https://ci:s3cret@pkgs.internal/simple".to_owned()),
            "FAAS_CALLBACKS_ALLOW" => Some("10.0.0.0/8, hooks.internal".to_owned()),
            _ => None,
        };
        let flags = ServerOverrides { listen: "127.0.0.1:3".parse().ok(), ..ServerOverrides::default() };
        let config = ServerConfig::load(true, Some(&file), env, flags).expect("good layers");
        assert_eq!(config.http.listen.port(), 3, "flag over environment");
        assert_eq!(config.engine.drain, Span::from_secs(6), "environment over file");
        assert_eq!(config.engine.idle, Span::from_secs(9), "file over default");
        assert!(config.sandbox.unsafe_no_isolation);
        let allowed: Vec<_> = config.callbacks.allow.iter().map(ToString::to_string).collect();
        assert_eq!(allowed, ["10.0.0.0/8", "hooks.internal"]);
        assert_eq!(config.build.allow[0].to_string(), "mirror.internal:8081");
        let index = config.build.indexes().next().map(IndexUrl::reveal);
        assert_eq!(index, Some("https://ci:s3cret@pkgs.internal/simple"));
        assert!(!format!("{config:?}").contains("s3cret"), "credentials are not shown");
        assert_eq!(config.store.data, Path::new("/var/lib/faas"), "default");
    }

    #[test]
    fn a_bad_layer_names_its_place() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("server.toml");
        std::fs::write(&file, "[http]\nlisten = \"127.0.0.1:1\"\nlisen = 1\n").expect("written");
        let error = ServerConfig::load(false, Some(&file), nothing, ServerOverrides::default()).expect_err("a typo");
        assert!(error.to_string().contains("server.toml:3: unknown field `lisen`"), "{error}");
        let env = |name: &str| (name == "FAAS_IDLE").then(|| "soon".to_owned());
        let error = ServerConfig::load(false, None, env, ServerOverrides::default()).expect_err("not a span");
        assert!(error.to_string().contains("FAAS_IDLE"), "{error}");
        let flags = ServerOverrides { instances_max: Some(0), ..ServerOverrides::default() };
        let error = ServerConfig::load(false, None, nothing, flags).expect_err("none at all");
        assert!(error.to_string().starts_with("engine.instances_max must"), "{error}");
        let env = |name: &str| (name == "FAAS_MEMORY_MAX").then(|| "1MB".to_owned());
        let error = ServerConfig::load(false, None, env, ServerOverrides::default()).expect_err("too little");
        assert!(error.to_string().starts_with("engine.memory_max must"), "{error}");
    }

    #[test]
    fn data_has_a_home() {
        let env = |name: &str| (name == "HOME").then(|| "/home/ada".to_owned());
        assert_eq!(default_data_dir(false, env), Path::new("/home/ada/.local/share/faas"));
        assert_eq!(default_data_dir(true, env), Path::new("/var/lib/faas"));
        assert_eq!(default_data_dir(false, nothing), Path::new("faas-data"));
    }
}
