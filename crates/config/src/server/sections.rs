//! The parts of a server's configuration, one for each part of the house.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use faas_types::{AllowedTarget, ByteSize, IndexHost, IndexUrl, Retention, Span, limits};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::listen::ListenAddress;
use super::{by_index_kind, kinds};

/// What stands in front of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSection {
    /// Addresses and networks of the proxies whose `X-Forwarded-*` headers are believed. Those of all others are dropped.
    #[schemars(with = "Vec<kinds::Target>")]
    pub trusted_proxies: Vec<AllowedTarget>,
}

/// The door: REST, function URLs and health on one port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSection {
    /// Where it listens.
    #[schemars(with = "kinds::Address")]
    #[serde(deserialize_with = "listen_address")]
    pub listen: SocketAddr,
    /// The public URL of this server, for the URLs of functions; `http://` and `listen` when absent.
    pub public_url: Option<String>,
    /// The most connections at a time. When all are taken, the one that has been waiting longest without a request
    /// under way makes room.
    pub connections_max: u32,
    /// How long a client may take to send a request's head.
    #[schemars(with = "kinds::Duration")]
    pub head_timeout: Span,
    /// The largest head of a request.
    #[schemars(with = "kinds::Size")]
    pub head_max: ByteSize,
    /// The most headers of a request.
    pub headers_max: u32,
    /// How long a connection may stay without a request.
    #[schemars(with = "kinds::Duration")]
    pub idle_timeout: Span,
    /// How long a client may take no byte of an answer that waits for it; a slow one gets a second more for each 16 KB
    /// that it took.
    #[schemars(with = "kinds::Duration")]
    pub send_timeout: Span,
}

/// Who may read `/metrics`, and how much there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsSection {
    /// Whether anybody may; otherwise a key with the scope `metrics:read`.
    pub open: bool,
    /// Functions that have labels of their own; the others share one.
    pub functions_max: u32,
}

/// Answers that functions allow to be kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheSection {
    /// Memory for the answers of all functions; 0 turns keeping off.
    #[schemars(with = "kinds::Size")]
    pub memory: ByteSize,
}

/// Runs that are accepted in the background.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BackgroundSection {
    /// Bytes of the runs of one function that wait, with their inputs.
    #[schemars(with = "kinds::Size")]
    pub waiting_bytes: ByteSize,
    /// The same for all functions of a project.
    #[schemars(with = "kinds::Size")]
    pub project_waiting_bytes: ByteSize,
    /// Bytes of inputs that are kept of one function's ended runs, for replays.
    #[schemars(with = "kinds::Size")]
    pub input_bytes: ByteSize,
    /// The same for all functions of a project.
    #[schemars(with = "kinds::Size")]
    pub project_input_bytes: ByteSize,
    /// What part of what may wait, and of idempotency keys and their answers, callers without a key may take, in percent.
    pub keyless_percent: u8,
}

/// Names that callers give to their requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IdempotencySection {
    /// Keys of one function that are held at a time.
    pub keys_max: u64,
    /// The same for all functions of a project.
    pub project_keys_max: u64,
    /// Bytes of answers that are kept of one function.
    #[schemars(with = "kinds::Size")]
    pub answer_bytes: ByteSize,
    /// The same for all functions of a project.
    #[schemars(with = "kinds::Size")]
    pub project_answer_bytes: ByteSize,
}

/// Messages about ended runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CallbacksSection {
    /// Networks and hosts that may be called back although they are not of the public internet.
    #[schemars(with = "Vec<kinds::Target>")]
    pub allow: Vec<AllowedTarget>,
    /// Attempts of one callback.
    pub attempts_max: u32,
    /// The pause before the second attempt is a random part of this; it doubles with each attempt.
    #[schemars(with = "kinds::Duration")]
    pub backoff: Span,
    /// Bytes of those of one project that are not delivered.
    #[schemars(with = "kinds::Size")]
    pub waiting_bytes: ByteSize,
}

/// How packages that functions ask for are installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BuildSection {
    /// What installs packages, by the kind of index.
    #[schemars(schema_with = "by_index_kind::installers")]
    pub installers: BTreeMap<String, String>,
    /// The indexes in place of the public ones, by their kind.
    #[schemars(schema_with = "by_index_kind::indexes")]
    pub indexes: BTreeMap<String, IndexUrl>,
    /// Further indexes, by their kind.
    #[schemars(schema_with = "by_index_kind::extra_indexes")]
    pub extra_indexes: BTreeMap<String, Vec<IndexUrl>>,
    /// Pages with links to packages, by the kind of index.
    #[schemars(schema_with = "by_index_kind::find_links")]
    pub find_links: BTreeMap<String, Vec<IndexUrl>>,
    /// A file with certificates to trust besides the machine's, as PEM.
    #[schemars(with = "Option<kinds::PathText>")]
    pub ca_file: Option<PathBuf>,
    /// Hosts that builds may connect to besides those of the indexes, with or without a port.
    #[schemars(with = "Vec<kinds::Host>")]
    pub allow: Vec<IndexHost>,
    /// Memory of one build, its files included.
    #[schemars(with = "kinds::Size")]
    pub memory: ByteSize,
    /// Files of one build.
    #[schemars(with = "kinds::Size")]
    pub disk: ByteSize,
    /// How long one build may take.
    #[schemars(with = "kinds::Duration")]
    pub timeout: Span,
    /// Builds at the same time.
    pub at_once: u32,
}

/// Where state lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSection {
    /// The data directory; one server at a time.
    #[schemars(with = "kinds::PathText")]
    pub data: PathBuf,
    /// Where sealed runtimes lie that several servers of one user share; in the data directory when absent. Private servers
    /// set it; no key does.
    #[serde(skip)]
    pub runtimes: Option<PathBuf>,
}

/// How functions are confined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxSection {
    /// Start functions as plain processes where nothing better works. Never for code of others.
    pub unsafe_no_isolation: bool,
    /// Interpreters to offer besides those found on PATH and by version managers: programs, or directories with them.
    #[schemars(with = "Vec<kinds::PathText>")]
    pub interpreters: Vec<PathBuf>,
}

/// How instances live and die.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EngineSection {
    /// How long a stopping server waits for calls under way.
    #[schemars(with = "kinds::Duration")]
    pub drain: Span,
    /// How long an instance may be idle before it is stopped.
    #[schemars(with = "kinds::Duration")]
    pub idle: Span,
    /// How long a queued run belongs to a server that gives no sign of life; then it is tried again.
    #[schemars(with = "kinds::Duration")]
    pub lease: Span,
    /// Instances of all functions together.
    pub instances_max: u32,
    /// Memory of all instances together; four fifths of the machine's when absent.
    #[schemars(with = "Option<kinds::Size>")]
    pub memory_max: Option<ByteSize>,
    /// Started runtimes that wait for a function, for each runtime in use. None starts every instance from nothing.
    pub parked: u32,
    /// Versions of a function that are kept whether something needs them or not.
    pub versions_kept: u32,
    /// How often files and records that nothing needs are collected; 0s collects only on `faas gc`.
    #[schemars(with = "kinds::Duration")]
    pub gc_every: Span,
    /// How long such files stay, counted from when they were last uploaded or asked for. Longer than any deployment.
    #[schemars(with = "kinds::Duration")]
    pub gc_grace: Span,
}

/// The server's own log, on standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// How a line looks.
    #[schemars(with = "kinds::Text")]
    pub format: LogFormat,
    /// What is logged: a level, or `target=level` pairs with commas between.
    pub filter: String,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What `git push` may leave on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GitSection {
    /// Bytes of one function's repository.
    #[schemars(with = "kinds::Size")]
    pub repository_max: ByteSize,
    /// Bytes of all repositories of a project.
    #[schemars(with = "kinds::Size")]
    pub project_max: ByteSize,
}

/// How long a project's history is kept that has no settings of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionSection {
    /// Ended runs, from their acceptance.
    #[schemars(with = "kinds::Duration")]
    pub runs: Span,
    /// Bytes of the records of all runs of a project; the oldest that have ended go first.
    #[schemars(with = "kinds::Size")]
    pub run_bytes: ByteSize,
    /// The results of runs; never longer than the runs.
    #[schemars(with = "kinds::Duration")]
    pub results: Span,
    /// Log lines.
    #[schemars(with = "kinds::Duration")]
    pub logs: Span,
    /// Bytes of the log lines of a project; the oldest go first.
    #[schemars(with = "kinds::Size")]
    pub log_bytes: ByteSize,
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
    pub fn named_indexes(&self) -> impl Iterator<Item = &IndexUrl> {
        let further = self.extra_indexes.values().chain(self.find_links.values()).flatten();
        self.indexes.values().chain(further)
    }

    /// The installer that the operator chose for a kind of index.
    #[must_use]
    pub fn installer(&self, kind: &str) -> Option<&str> {
        self.installers.get(kind).map(String::as_str).filter(|name| *name != by_index_kind::AUTO)
    }

    /// The first table that has what no kind of index takes, and why.
    pub(super) fn check_kinds(&self) -> Result<(), (&'static str, String)> {
        let refused = [
            ("build.installers", by_index_kind::stranger(&self.installers, |index| index.installers.len() > 1)),
            ("build.indexes", by_index_kind::stranger(&self.indexes, |_| true)),
            ("build.extra_indexes", by_index_kind::stranger(&self.extra_indexes, |index| index.extra)),
            ("build.find_links", by_index_kind::stranger(&self.find_links, |index| index.find_links)),
        ];
        if let Some((field, Some(why))) = refused.into_iter().find(|(_, why)| why.is_some()) {
            return Err((field, why));
        }
        for (kind, (index, _)) in by_index_kind::kinds() {
            let Some(name) = self.installer(kind).filter(|name| !index.installers.iter().any(|known| known == name))
            else {
                continue;
            };
            let why = format!("has no installer `{name}` for {kind}; use auto, {}", index.installers.join(" or "));
            return Err(("build.installers", why));
        }
        Ok(())
    }
}

impl Default for BuildSection {
    fn default() -> Self {
        Self {
            installers: by_index_kind::default_installers(),
            indexes: BTreeMap::new(),
            extra_indexes: BTreeMap::new(),
            find_links: BTreeMap::new(),
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

// === impl StoreSection ===

impl Default for StoreSection {
    fn default() -> Self {
        Self { data: PathBuf::from("faas-data"), runtimes: None }
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
            gc_every: Span::from_secs(6 * 3_600),
            gc_grace: Span::from_secs(24 * 3_600),
        }
    }
}

// === impl LogSection ===

impl Default for LogSection {
    fn default() -> Self {
        Self { format: LogFormat::default(), filter: "info".to_owned() }
    }
}

// === impl RetentionSection ===

impl Default for RetentionSection {
    fn default() -> Self {
        let Retention { runs, run_bytes, results, logs, log_bytes } = Retention::default();
        Self { runs, run_bytes, results, logs, log_bytes }
    }
}

impl From<RetentionSection> for Retention {
    fn from(section: RetentionSection) -> Self {
        let RetentionSection { runs, run_bytes, results, logs, log_bytes } = section;
        Self { runs, run_bytes, results, logs, log_bytes }
    }
}

// === impl LogFormat ===

impl TryFrom<String> for LogFormat {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

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

fn listen_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    ListenAddress::deserialize(deserializer).map(|ListenAddress(address)| address)
}
