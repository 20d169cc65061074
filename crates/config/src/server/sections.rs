//! The parts of a server's configuration, one for each part of the house.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use faas_types::{AllowedTarget, ByteSize, IndexHost, IndexUrl, PreflightRules, PythonInstaller, Span, limits};
use serde::{Deserialize, Serialize};

/// What stands in front of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServerSection {
    /// Addresses and networks of the proxies whose `X-Forwarded-*` headers are believed. Those of all others are dropped.
    pub trusted_proxies: Vec<AllowedTarget>,
}

/// The door: REST, function URLs and health on one port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpSection {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What the world calls this server, for function URLs; `http://` and `listen` when absent.
    pub public_url: Option<String>,
    /// Connections at the most. When they are all taken, the one that has been waiting longest without a request
    /// under way makes room.
    pub connections_max: u32,
    /// How long a client may take to send a request's head.
    pub head_timeout: Span,
    /// Bytes of a request's head at the most.
    pub head_max: ByteSize,
    /// Headers of a request at the most.
    pub headers_max: u32,
    /// How long a connection may stay without a request.
    pub idle_timeout: Span,
    /// How long a client may take no byte of an answer that waits for it; a slow one gets a second more for each 16 KB
    /// that it took.
    pub send_timeout: Span,
}

/// Who may read `/metrics`, and how much there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MetricsSection {
    /// Whether anybody may; otherwise a key with the scope `metrics:read`.
    pub open: bool,
    /// Functions that have labels of their own; the others share one.
    pub functions_max: u32,
}

/// Answers that functions allow to be kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CacheSection {
    /// Memory for the answers of all functions; 0 turns keeping off.
    pub memory: ByteSize,
}

/// Runs that are accepted in the background.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackgroundSection {
    /// Bytes of the runs of one function that wait, with their inputs.
    pub waiting_bytes: ByteSize,
    /// The same for all functions of a project.
    pub project_waiting_bytes: ByteSize,
    /// Bytes of inputs that are kept of one function's ended runs, for replays.
    pub input_bytes: ByteSize,
    /// The same for all functions of a project.
    pub project_input_bytes: ByteSize,
    /// What part of what may wait, and of idempotency keys and their answers, callers without a key may take, in percent.
    pub keyless_percent: u8,
}

/// Names that callers give to their requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IdempotencySection {
    /// Keys of one function that are held at a time.
    pub keys_max: u64,
    /// The same for all functions of a project.
    pub project_keys_max: u64,
    /// Bytes of answers that are kept of one function.
    pub answer_bytes: ByteSize,
    /// The same for all functions of a project.
    pub project_answer_bytes: ByteSize,
}

/// Messages about ended runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallbacksSection {
    /// Networks and hosts that may be called back although they are not of the public internet.
    pub allow: Vec<AllowedTarget>,
    /// Attempts of one callback.
    pub attempts_max: u32,
    /// The pause before the second attempt is a random part of this; it doubles with each attempt.
    pub backoff: Span,
    /// Bytes of those of one project that are not delivered.
    pub waiting_bytes: ByteSize,
}

/// How packages that functions ask for are installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BuildSection {
    /// What installs Python packages.
    pub python_installer: PythonInstaller,
    /// The index of Python packages, in place of PyPI. Credentials in it are never shown, but packages that run code
    /// while they are installed can read them.
    pub python_index: Option<IndexUrl>,
    /// Further indexes of Python packages.
    pub python_extra_indexes: Vec<IndexUrl>,
    /// Pages with links to Python packages.
    pub python_find_links: Vec<IndexUrl>,
    /// The registry of Node packages, in place of npm's.
    pub npm_registry: Option<IndexUrl>,
    /// A file with certificates to trust besides the machine's, as PEM.
    pub ca_file: Option<PathBuf>,
    /// Hosts that builds may connect to besides those of the indexes, with or without a port.
    pub allow: Vec<IndexHost>,
    /// Memory of one build, its files included.
    pub memory: ByteSize,
    /// Files of one build.
    pub disk: ByteSize,
    /// How long one build may take.
    pub timeout: Span,
    /// Builds at the same time.
    pub at_once: u32,
}

/// Where state lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoreSection {
    /// The data directory; one server at a time.
    pub data: PathBuf,
    /// Where sealed runtimes lie that several servers of one user share; in the data directory when absent. Private servers
    /// set it; no key does.
    pub runtimes: Option<PathBuf>,
}

/// What uploads are refused for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PreflightSection {
    /// Whether files are searched for secrets.
    pub secrets: bool,
    /// Files that are not taken: patterns as in `.gitignore`.
    pub blocked_files: Vec<String>,
    /// Text that is not taken: regular expressions.
    pub blocked_text: Vec<String>,
    /// Modules that no function may import, as far as its source says so.
    pub blocked_imports: Vec<String>,
}

/// How functions are confined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SandboxSection {
    /// Start functions as plain processes where nothing better works. Never for code of others.
    pub unsafe_no_isolation: bool,
    /// Python interpreters to offer besides those found on PATH and by pyenv or uv.
    pub pythons: Vec<PathBuf>,
}

/// How instances live and die.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EngineSection {
    /// How long a stopping server waits for calls under way.
    pub drain: Span,
    /// How long an instance may be idle before it is stopped.
    pub idle: Span,
    /// How long a queued run belongs to a server that gives no sign of life; then it is tried again.
    pub lease: Span,
    /// Instances of all functions together.
    pub instances_max: u32,
    /// Memory of all instances together; four fifths of the machine's when absent.
    pub memory_max: Option<ByteSize>,
    /// Started runtimes that wait for a function, for each runtime in use. None starts every instance from nothing.
    pub parked: u32,
    /// Versions of a function that are kept whether something needs them or not.
    pub versions_kept: u32,
    /// How often files and records are collected that nothing needs; 0s never does, except by `faas collect`.
    pub collect_every: Span,
    /// How long such files stay, counted from when they were last uploaded or asked for. Longer than any deployment.
    pub collect_grace: Span,
}

/// What the server says of itself, on standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogSection {
    /// How a line looks.
    pub format: LogFormat,
    /// What is said: a level, or `target=level` pairs with commas between.
    pub filter: String,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What `git push` may leave on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GitSection {
    /// Bytes of one function's repository.
    pub repository_max: ByteSize,
    /// Bytes of all repositories of a project.
    pub project_max: ByteSize,
}

// === impl HttpSection ===

impl Default for HttpSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            public_url: None,
            connections_max: 16_384,
            head_timeout: Span::from_secs(10),
            head_max: ByteSize::from_bytes(64 << 10),
            headers_max: 128,
            idle_timeout: Span::from_secs(75),
            send_timeout: Span::from_secs(30),
        }
    }
}

// === impl MetricsSection ===

impl Default for MetricsSection {
    fn default() -> Self {
        Self { open: false, functions_max: 200 }
    }
}

// === impl CacheSection ===

impl Default for CacheSection {
    fn default() -> Self {
        Self { memory: ByteSize::from_mib(64) }
    }
}

// === impl BuildSection ===

impl BuildSection {
    /// The indexes that the operator named.
    pub fn indexes(&self) -> impl Iterator<Item = &IndexUrl> {
        let python = self.python_index.iter().chain(&self.python_extra_indexes).chain(&self.python_find_links);
        python.chain(&self.npm_registry)
    }
}

impl Default for BuildSection {
    fn default() -> Self {
        Self {
            python_installer: PythonInstaller::Auto,
            python_index: None,
            python_extra_indexes: Vec::new(),
            python_find_links: Vec::new(),
            npm_registry: None,
            ca_file: None,
            allow: Vec::new(),
            memory: ByteSize::from_mib(1_536),
            disk: ByteSize::from_mib(1_024),
            timeout: Span::from_secs(600),
            at_once: 2,
        }
    }
}

// === impl GitSection ===

impl GitSection {
    /// The first key that is out of its range, and what it takes.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let (least, most) = (ByteSize::from_mib(1), ByteSize::from_mib(4 << 10));
        if self.repository_max < least || self.repository_max > most {
            return Err(("git.repository_max", "must be between 1MB and 4GB, such as 512MB".to_owned()));
        }
        if self.project_max < least || self.project_max > ByteSize::from_mib(1 << 20) {
            return Err(("git.project_max", "must be between 1MB and 1TB, such as 4GB".to_owned()));
        }
        Ok(())
    }
}

impl Default for GitSection {
    fn default() -> Self {
        Self { repository_max: ByteSize::from_mib(512), project_max: ByteSize::from_mib(4 << 10) }
    }
}

// === impl CallbacksSection ===

impl Default for CallbacksSection {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            attempts_max: limits::CALLBACK_ATTEMPTS_DEFAULT,
            backoff: Span::from_secs(limits::CALLBACK_BACKOFF_DEFAULT.as_secs()),
            waiting_bytes: ByteSize::from_bytes(limits::CALLBACK_BYTES_WAITING),
        }
    }
}

// === impl BackgroundSection ===

impl Default for BackgroundSection {
    fn default() -> Self {
        Self {
            waiting_bytes: ByteSize::from_bytes(limits::WAITING_BYTES),
            project_waiting_bytes: ByteSize::from_bytes(limits::PROJECT_WAITING_BYTES),
            input_bytes: ByteSize::from_bytes(limits::INPUT_BYTES),
            project_input_bytes: ByteSize::from_bytes(limits::PROJECT_INPUT_BYTES),
            keyless_percent: limits::KEYLESS_PERCENT,
        }
    }
}

// === impl IdempotencySection ===

impl Default for IdempotencySection {
    fn default() -> Self {
        Self {
            keys_max: limits::CLAIMS_MAX,
            project_keys_max: limits::PROJECT_CLAIMS_MAX,
            answer_bytes: ByteSize::from_bytes(limits::ANSWER_BYTES),
            project_answer_bytes: ByteSize::from_bytes(limits::PROJECT_ANSWER_BYTES),
        }
    }
}

// === impl PreflightSection ===

impl PreflightSection {
    /// As the rules of the operator.
    #[must_use]
    pub fn rules(&self) -> PreflightRules {
        let Self { secrets, blocked_files, blocked_text, blocked_imports } = self.clone();
        PreflightRules { secrets, blocked_files, blocked_text, blocked_imports, allow_secrets: Vec::new() }
    }
}

impl Default for PreflightSection {
    fn default() -> Self {
        Self { secrets: true, blocked_files: Vec::new(), blocked_text: Vec::new(), blocked_imports: Vec::new() }
    }
}

// === impl EngineSection ===

impl Default for EngineSection {
    fn default() -> Self {
        Self {
            drain: Span::from_secs(30),
            idle: Span::from_secs(300),
            lease: Span::from_secs(30),
            instances_max: 1_000,
            memory_max: None,
            parked: 4,
            versions_kept: limits::VERSIONS_KEPT,
            collect_every: Span::from_secs(6 * 3_600),
            collect_grace: Span::from_secs(24 * 3_600),
        }
    }
}

// === impl LogSection ===

impl Default for LogSection {
    fn default() -> Self {
        Self { format: LogFormat::default(), filter: "info".to_owned() }
    }
}

// === impl LogFormat ===

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("`{other}` is not a log format; use text or json")),
        }
    }
}
