//! What a version runs with: the checked form of a manifest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Background, ByteSize, CanaryPolicy, CorsSettings, CronTrigger, DependencyMode, EgressPolicy, Entrypoint,
    EventTrigger, HttpMethod, IsolationLevel, LayerRef, QueueTrigger, RuntimeName, Span, TriggerKind, TriggerName,
    WebhookTrigger, limits,
};

/// Who may call a function's URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// Callers with a key that holds the `invoke` scope.
    #[default]
    Private,
    /// Anybody.
    Public,
}

/// What a sandbox may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// Nothing, not even loopback.
    #[default]
    None,
    /// Its own loopback interface.
    Loopback,
    /// Its own loopback interface, and what its [`EgressPolicy`] allows.
    Egress,
}

/// How many instances a function may have and how many calls share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Scaling {
    /// Instances kept even when idle.
    pub min: u32,
    /// Instances at the most.
    pub max: u32,
    /// Calls that one instance takes at once; the runtime knows best where this is absent: one for a handler that
    /// blocks, [`ASYNC_CONCURRENCY`](crate::limits::ASYNC_CONCURRENCY) for one that does not.
    pub concurrency: Option<u32>,
}

/// What creates runs of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum TriggerSettings {
    /// Requests below the function's URL.
    Http {
        /// The path prefix that is taken, starting with a slash.
        path: String,
        /// The methods that are taken; empty takes all.
        #[serde(default)]
        methods: Vec<HttpMethod>,
    },
    /// The times of a schedule.
    Cron(Box<CronTrigger>),
    /// Signed deliveries at a URL of its own.
    Webhook(WebhookTrigger),
    /// Published events.
    Event(EventTrigger),
    /// Messages of a topic.
    Queue(QueueTrigger),
}

/// Everything a version runs with besides its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionSettings {
    /// The runtime as the manifest names it.
    pub runtime: RuntimeName,
    /// Where the code starts.
    pub entrypoint: Entrypoint,
    /// Who may call the URL.
    pub auth: AuthMode,
    /// How long one attempt may take.
    pub timeout: Span,
    /// Memory of one instance.
    pub memory: ByteSize,
    /// CPU share of one instance in thousandths of a core.
    pub cpu_millis: u32,
    /// What an instance may reach.
    pub network: NetworkMode,
    /// What it may reach of other machines, with [`NetworkMode::Egress`] alone.
    #[serde(default, skip_serializing_if = "EgressPolicy::is_default")]
    pub egress: EgressPolicy,
    /// The weakest isolation that the function accepts. `Process` leaves it to the server, which refuses plain processes
    /// unless its operator permits them.
    pub min_isolation: IsolationLevel,
    /// Instances and concurrency.
    pub scaling: Scaling,
    /// Plain settings, given to the function as environment variables.
    pub vars: BTreeMap<String, String>,
    /// What creates runs.
    pub triggers: Vec<TriggerSettings>,
    /// Runs that are accepted for later.
    #[serde(default)]
    pub background: Background,
    /// What the whole process tree of an instance may use besides memory and CPU.
    #[serde(default)]
    pub limits: Allowance,
    /// How answers are kept; `None` keeps none.
    #[serde(default)]
    pub cache: Option<CacheSettings>,
    /// Which pages of other origins may call it; `None` leaves that to its own answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<CorsSettings>,
    /// What callers without a key learn of a failure.
    #[serde(default)]
    pub errors: ErrorDetail,
    /// How it takes over from the version before; `None` takes over at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryPolicy>,
    /// Whether the packages that the files ask for are installed.
    #[serde(default)]
    pub dependencies: DependencyMode,
    /// Packages whose install scripts run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub install_scripts: Vec<String>,
    /// The named layers that it stands on, those that win first. Those of a version say which of theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerRef>,
}

/// What callers learn of a failure whose key may not read runs, or who have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorDetail {
    /// The code and the run.
    #[default]
    Code,
    /// Message, place and stack as well.
    Full,
}

/// What the whole process tree of an instance may use besides memory and CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// Size of the private `/tmp`, which counts as memory.
    pub tmp: ByteSize,
    /// Processes and threads.
    pub pids: u32,
}

/// How a function's answers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheSettings {
    /// How long an answer is kept that does not say so itself; zero keeps none of those.
    pub ttl: Span,
    /// The largest body that is kept.
    pub entry_max: ByteSize,
    /// Who may be sent the kept answer of a private function.
    pub share: CacheShare,
}

/// Who may be sent the kept answer of a private function. Callers without a key get none in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheShare {
    /// Other holders of keys, where the answer itself says `public` or `s-maxage`.
    #[default]
    Declared,
    /// Every holder of a key of the project.
    Project,
}

// === impl Allowance ===

impl Default for Allowance {
    fn default() -> Self {
        Self { tmp: ByteSize::from_bytes(limits::TMP_BYTES), pids: limits::PIDS_MAX }
    }
}

// === impl CacheSettings ===

impl Default for CacheSettings {
    fn default() -> Self {
        Self { ttl: Span::from_secs(0), entry_max: limits::CACHE_ENTRY, share: CacheShare::default() }
    }
}

// === impl TriggerSettings ===

impl TriggerSettings {
    /// Its name, by which it is remembered across deployments; requests at the function's URL need none.
    #[must_use]
    pub fn name(&self) -> Option<&TriggerName> {
        match self {
            Self::Http { .. } => None,
            Self::Cron(cron) => Some(&cron.name),
            Self::Webhook(WebhookTrigger { name, .. })
            | Self::Event(EventTrigger { name, .. })
            | Self::Queue(QueueTrigger { name, .. }) => Some(name),
        }
    }

    /// The path that the function is called with, or whose requests it takes.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Http { path, .. }
            | Self::Webhook(WebhookTrigger { path, .. })
            | Self::Event(EventTrigger { path, .. })
            | Self::Queue(QueueTrigger { path, .. }) => path,
            Self::Cron(cron) => &cron.path,
        }
    }

    /// Its type, as manifests and runs name it.
    #[must_use]
    pub const fn kind(&self) -> TriggerKind {
        match self {
            Self::Http { .. } => TriggerKind::Http,
            Self::Cron(_) => TriggerKind::Cron,
            Self::Webhook(_) => TriggerKind::Webhook,
            Self::Event(_) => TriggerKind::Event,
            Self::Queue(_) => TriggerKind::Queue,
        }
    }
}

// === impl Scaling ===

impl Default for Scaling {
    fn default() -> Self {
        Self { min: 0, max: 10, concurrency: None }
    }
}

// === impl FunctionSettings ===

impl FunctionSettings {
    /// The defaults for a runtime and an entrypoint.
    #[must_use]
    pub fn new(runtime: RuntimeName, entrypoint: Entrypoint) -> Self {
        Self {
            runtime,
            entrypoint,
            auth: AuthMode::default(),
            timeout: Span::from_secs(limits::TIMEOUT_DEFAULT.as_secs()),
            memory: limits::MEMORY_MIN,
            cpu_millis: 1000,
            network: NetworkMode::default(),
            egress: EgressPolicy::default(),
            min_isolation: IsolationLevel::Process,
            scaling: Scaling::default(),
            vars: BTreeMap::new(),
            triggers: vec![TriggerSettings::Http { path: "/".into(), methods: Vec::new() }],
            limits: Allowance::default(),
            cache: None,
            cors: None,
            errors: ErrorDetail::default(),
            canary: None,
            dependencies: DependencyMode::default(),
            install_scripts: Vec::new(),
            layers: Vec::new(),
            background: Background::default(),
        }
    }
}
