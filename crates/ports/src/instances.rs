//! Live runtimes and what they exchange with the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faas_types::{
    ByteSize, Fault, FunctionError, FunctionName, FunctionSettings, InstanceId, IsolationLevel, LayerName, LogLevel,
    LogStream, ProjectId, RunId, RuntimeName, SandboxId, Timestamp,
};
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::{Inspection, NetworkAccess, ProcessCount, SandboxExit};

/// A runtime that this machine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeDescription {
    /// Language and version as manifests name it, such as `python3.12`.
    pub name: RuntimeName,
    /// The exact version, such as `3.12.1`.
    pub exact: String,
    /// Where it was found on the host.
    pub origin: PathBuf,
}

/// An instance to launch.
#[derive(Clone, Debug)]
pub struct InstanceSpec {
    /// The instance's id.
    pub id: InstanceId,
    /// The sandbox's id.
    pub sandbox: SandboxId,
    /// Whose it is.
    pub project: ProjectId,
    /// The function's name, for the user's context object.
    pub function: FunctionName,
    /// The version's number, for the user's context object.
    pub version: u32,
    /// What it runs with.
    pub settings: Arc<FunctionSettings>,
    /// What it may reach, with [`NetworkMode::Egress`](faas_types::NetworkMode::Egress) alone.
    pub network: NetworkAccess,
    /// The environment variables of the user's code.
    pub vars: InstanceVars,
    /// The sealed code layer on this machine.
    pub code: PathBuf,
    /// The sealed layer of its packages on this machine.
    pub dependencies: Option<PathBuf>,
    /// Its named layers.
    pub layers: Option<LayerStack>,
    /// How long it may take to become ready.
    pub init_timeout: Duration,
    /// Whether to hand over what the runtime compiled of the code. Costs time; for the check of a deployment.
    pub bytecode: bool,
    /// Lets debuggers in.
    pub inspection: Option<Inspection>,
}

/// The named layers of a version on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerStack {
    /// A sealed layer of two directories: `names` has one for each layer and is what they are mounted on, `packages` has
    /// links to the packages in them, for languages that look for packages in one place.
    pub base: PathBuf,
    /// The sealed layers by name, those that win first.
    pub layers: Vec<(LayerName, PathBuf)>,
}

/// Environment variables of a user's code. Their values may be secrets: they are never printed, and wiped from memory when
/// the last copy is dropped. Cheap to clone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct InstanceVars(Arc<Vec<(String, Zeroizing<String>)>>);

/// Starts instances. One per process; knows every runtime of this machine.
#[async_trait]
pub trait Launcher: Send + Sync {
    /// The runtimes of this machine, newest version of each language first.
    fn runtimes(&self) -> Vec<RuntimeDescription>;

    /// The runtime that a manifest's name means here.
    ///
    /// # Errors
    /// [`Code::RuntimeMissing`](faas_types::Code::RuntimeMissing), naming those that are here.
    fn resolve(&self, name: &RuntimeName) -> Result<RuntimeDescription, Fault>;

    /// Whether a runtime was used before, so that what starts on it need not wait until it is made ready.
    fn is_prepared(&self, name: &RuntimeName) -> bool {
        let _ = name;
        true
    }

    /// Tells which kinds of instance may be needed soon: runtime and memory of the versions that serve. Replaces what was
    /// told before. What it causes happens later.
    fn anticipate(&self, wanted: BTreeSet<(RuntimeName, ByteSize)>) {
        drop(wanted);
    }

    /// What waits to become an instance, and how instances were started.
    fn starts(&self) -> StartMetrics {
        StartMetrics::default()
    }

    /// Opens a sandbox, starts the runtime in it, loads the user's code and returns when it is ready.
    ///
    /// # Errors
    /// `FN_008` past the init timeout, `FN_003` out of memory, `FN_004` with the function's error when the code
    /// does not load, `FN_017` when the machine cannot confine it. Nothing of it is left then.
    async fn launch(&self, spec: InstanceSpec) -> Result<Launched, Fault>;
}

/// A ready instance.
pub struct Launched {
    /// The instance.
    pub instance: Arc<dyn Instance>,
    /// What it writes outside invocations, and raw output that names no run. Bounded; overflow is dropped.
    pub logs: InstanceLogs,
    /// How the time until it was ready was spent.
    pub timings: LaunchTimings,
    /// What the runtime compiled of the code, where that was asked for: paths below the code's directory and contents,
    /// neither to be trusted. Beside the code they make the next start faster; without them it works as well.
    pub bytecode: Vec<(String, Bytes)>,
}

/// Log entries of an instance that belong to no run. Ends with the instance.
pub type InstanceLogs = mpsc::Receiver<LogEntry>;

/// How the time until an instance was ready was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaunchTimings {
    /// How it was started.
    pub path: StartPath,
    /// Opening the sandbox, up to `execve`; of a parked one, assigning it.
    pub sandbox: Duration,
    /// Starting the runtime, up to the shim's first frame; nothing when it was parked.
    pub runtime: Duration,
    /// Importing the user's code.
    pub import: Duration,
}

/// The body of a request.
pub enum InvocationBody {
    /// All of it.
    Whole(Bytes),
    /// Still arriving. Taken only as fast as the function takes it.
    Stream(BodyStream),
}

/// Parts of a body that is still arriving, bounded in total by its producer; a fault ends it.
pub type BodyStream = BoxStream<'static, Result<Bytes, Fault>>;

/// Ways to a ready instance, the longest first. All end in the same confinement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StartPath {
    /// Sandbox and runtime were started for this instance.
    #[default]
    Exec,
    /// A sandbox was opened, and filled with a fork of the runtime's zygote.
    Zygote,
    /// Both were waiting.
    Parked,
}

/// Metrics of instance starts since the launcher started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartMetrics {
    /// Runtimes that are parked in a sandbox, by runtime.
    pub parked: Vec<(RuntimeName, u64)>,
    /// Starts by path, as in [`StartPath::ALL`].
    pub started: [u64; 3],
    /// Sandboxes parked in the background.
    pub parkings: u64,
    /// The total time of these.
    pub parking_time: Duration,
    /// Starts that had to take a longer path than prepared, by reason.
    pub fallbacks: Vec<(&'static str, u64)>,
}

/// One call of a function.
#[derive(Debug)]
pub struct Invocation {
    /// The run that it belongs to.
    pub run: RunId,
    /// The HTTP method.
    pub method: String,
    /// The path below the function's URL, starting with a slash, still percent-encoded.
    pub path: String,
    /// The query without its question mark, as sent.
    pub query: String,
    /// The headers as sent, names in lower case; values may be any bytes but are passed as Latin-1 text.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: InvocationBody,
    /// When the caller stops waiting.
    pub deadline: Timestamp,
}

/// The head of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyHead {
    /// The HTTP status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Bytes of the body where all of it is there already, so that taking it frees the instance.
    pub length: Option<u64>,
}

/// One line that a run or an instance wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When.
    pub at: Timestamp,
    /// How important.
    pub level: LogLevel,
    /// Where from.
    pub stream: LogStream,
    /// The text without its line end; cut at [`LOG_LINE_MAX`](faas_types::limits::LOG_LINE_MAX).
    pub message: String,
}

/// What comes back for one invocation, in order: logs and publications at any place, one head, body chunks, one end; or one
/// reply for all of the last three.
#[derive(Clone, Debug)]
pub enum ExchangeItem {
    /// The user's code wrote a line.
    Log(LogEntry),
    /// The user's code wrote a part of a line: the beginning, or what follows it. The next line of the same stream is its
    /// end.
    Unfinished(LogEntry),
    /// The user's code publishes or sends something and waits for the answer.
    Publish(Box<Publishing>),
    /// The reply begins.
    Head(ReplyHead),
    /// A part of the reply's body.
    Body(Bytes),
    /// The whole reply and its end in one: a head, a body and [`ExchangeEnd::Complete`].
    Reply {
        /// How it begins.
        head: ReplyHead,
        /// All of its body.
        body: Bytes,
        /// Log lines dropped because the run wrote more than its limit.
        dropped_log_lines: u64,
    },
    /// Nothing follows.
    End(ExchangeEnd),
}

/// What a handler publishes or sends, of which nothing was checked, and where the answer goes.
#[derive(Clone, Debug)]
pub struct Publishing {
    /// What it is.
    pub publication: Publication,
    /// Where the answer goes.
    pub reply: PublishReply,
}

/// What a handler publishes or sends. Whose it is, is what is known of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publication {
    /// An event for its subscribers.
    Event {
        /// What happened.
        what: Option<String>,
        /// Where; the function itself where absent.
        source: Option<String>,
        /// What it happened to.
        subject: Option<String>,
        /// Its id; a new one where absent.
        id: Option<String>,
        /// What the data is.
        content_type: Option<String>,
        /// What goes with it.
        data: Bytes,
    },
    /// A message to a topic.
    Message {
        /// The topic.
        topic: String,
        /// What the body is.
        content_type: Option<String>,
        /// What else the sender says, by name.
        attributes: BTreeMap<String, String>,
        /// What it says.
        body: Bytes,
    },
}

/// Where the answer to a publication goes: its id once it is kept, or why it is not. An answer that comes after the end of
/// the run is dropped.
#[derive(Clone)]
pub struct PublishReply(Arc<dyn Fn(Result<String, Fault>) + Send + Sync>);

/// How an invocation ended.
#[derive(Clone, Debug)]
pub enum ExchangeEnd {
    /// The reply is complete.
    Complete {
        /// Log lines dropped because the run wrote more than its limit.
        dropped_log_lines: u64,
    },
    /// The user's code raised. The instance may serve on.
    Raised {
        /// What it raised.
        error: FunctionError,
        /// Log lines dropped because the run wrote more than its limit.
        dropped_log_lines: u64,
    },
    /// The request did not fit the handler's parameters (a missing or mistyped key). The instance may serve on.
    Rejected {
        /// What does not fit, naming the parameter.
        message: String,
    },
    /// The request's body broke off or is not acceptable, which the function was told.
    Broken {
        /// Why.
        fault: Fault,
    },
    /// The instance died or broke the protocol meanwhile; see [`Instance::exited`].
    Lost,
}

// === impl InstanceVars ===

impl InstanceVars {
    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl FromIterator<(String, String)> for InstanceVars {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(vars: I) -> Self {
        vars.into_iter().map(|(name, value)| (name, Zeroizing::new(value))).collect()
    }
}

impl FromIterator<(String, Zeroizing<String>)> for InstanceVars {
    fn from_iter<I: IntoIterator<Item = (String, Zeroizing<String>)>>(vars: I) -> Self {
        Self(Arc::new(vars.into_iter().collect()))
    }
}

impl fmt::Debug for InstanceVars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

// === impl PublishReply ===

impl PublishReply {
    /// One that hands the answer to `carry`.
    pub fn new(carry: impl Fn(Result<String, Fault>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(carry))
    }

    /// Answers; once.
    pub fn answer(&self, outcome: Result<String, Fault>) {
        (self.0)(outcome);
    }
}

impl fmt::Debug for PublishReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublishReply")
    }
}

// === impl InvocationBody ===

impl Default for InvocationBody {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl From<Bytes> for InvocationBody {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }
}

impl fmt::Debug for InvocationBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Stream(_) => f.write_str("a stream"),
        }
    }
}

/// A live, initialised runtime. Never shared across functions, versions or settings.
#[async_trait]
pub trait Instance: Send + Sync {
    /// Its id.
    fn id(&self) -> InstanceId;

    /// How strongly it is confined.
    fn isolation(&self) -> IsolationLevel;

    /// How many invocations it takes at once, as the shim found it; at least 1.
    fn concurrency(&self) -> u32;

    /// Whether its handler reads a request's body while it arrives. Others get it whole, and hold a place while they wait.
    fn streams_bodies(&self) -> bool;

    /// Sends one invocation. The stream ends after [`ExchangeItem::End`]; dropping it earlier cancels the
    /// invocation inside. The caller keeps to [`concurrency`](Self::concurrency).
    fn invoke(&self, invocation: Invocation) -> BoxStream<'static, ExchangeItem>;

    /// Waits until nothing that was cancelled runs inside any more; `false` when that takes longer than `within`.
    async fn settle(&self, within: Duration) -> bool;

    /// What the sandbox has used so far.
    fn usage(&self) -> InstanceUsage;

    /// How many processes and threads there are right now, its own first ones included; `None` where that cannot be told.
    /// Cheap enough to ask after every call.
    fn tasks(&self) -> Option<u32> {
        None
    }

    /// How many processes there are, threads not counted, nor processes that only help with a start. Costs more.
    fn processes(&self) -> Option<u32> {
        None
    }

    /// Who is inside, without zombies and without processes that only help with a start. Costs as much again.
    fn process_count(&self) -> Option<ProcessCount> {
        None
    }

    /// Asks the runtime to end by itself, kills the tree after `grace`, and returns when nothing of it is left.
    async fn stop(&self, grace: Duration) -> InstanceExit;

    /// Waits until it has ended for whatever reason.
    async fn exited(&self) -> InstanceExit;
}

/// How an instance ended.
pub type InstanceExit = SandboxExit;

/// What an instance has used so far.
pub type InstanceUsage = crate::SandboxUsage;

// === impl StartMetrics ===

impl StartMetrics {
    /// Both together.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        self.parked.extend(other.parked);
        self.started.iter_mut().zip(other.started).for_each(|(sum, more)| *sum += more);
        self.parkings += other.parkings;
        self.parking_time += other.parking_time;
        for (reason, count) in other.fallbacks {
            match self.fallbacks.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, sum)) => *sum += count,
                None => self.fallbacks.push((reason, count)),
            }
        }
        self
    }
}

// === impl StartPath ===

impl StartPath {
    /// Every path.
    pub const ALL: [Self; 3] = [Self::Exec, Self::Zygote, Self::Parked];

    /// Its name in metrics and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Zygote => "zygote",
            Self::Parked => "parked",
        }
    }
}
