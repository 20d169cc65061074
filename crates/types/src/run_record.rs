//! What is remembered of a run, its attempts and its log lines.

use serde::{Deserialize, Serialize};

use crate::{
    AttemptId, Code, FunctionError, FunctionId, FunctionName, InstanceId, IsolationLevel, JsonText, Onward, ProjectId,
    RunId, RunState, Stage, StartTimes, Timestamp, TriggerName,
};

/// What created a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TriggerKind {
    /// A request at the function's URL.
    Http,
    /// A call of the invoke API.
    Api,
    /// A tick of a schedule.
    Cron,
    /// A delivery at a webhook.
    Webhook,
    /// A published event.
    Event,
    /// Messages of a topic.
    Queue,
    /// Another run, tried again by hand.
    Replay,
    /// Another run, which ended and whose function names this one as its destination.
    Destination,
}

/// A run with all that is known of it. What is absent is not written: a record is kept of each call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Its id; also its creation time and sort order.
    pub id: RunId,
    /// The owner.
    pub project: ProjectId,
    /// The function that ran.
    pub function: FunctionId,
    /// The function's name at that time.
    pub function_name: FunctionName,
    /// The version's number within the function.
    pub version: u32,
    /// Whose vars and secrets it runs with.
    #[serde(default, skip_serializing_if = "Stage::is_default")]
    pub stage: Stage,
    /// Where it stands.
    pub state: RunState,
    /// What created it.
    pub trigger: TriggerKind,
    /// The name of the trigger, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger_name: Option<TriggerName>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// When it reached its terminal state.
    pub finished_at: Option<Timestamp>,
    /// Microseconds from acceptance to the terminal state.
    pub duration_us: Option<u64>,
    /// Whether the last attempt had to start an instance.
    pub cold_start: bool,
    /// How strongly the last attempt was confined.
    pub isolation: IsolationLevel,
    /// The tries, oldest first.
    pub attempts: Vec<AttemptRecord>,
    /// The catalogue entry of a failed run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// What happened, in one sentence, for a failed run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The function's own error, for a failed run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<FunctionError>,
    /// The HTTP status that the caller saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The reply's body where it is JSON and small enough to keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<JsonText>,
    /// The run that this one repeats, or whose destination it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<RunId>,
    /// When the next attempt may begin, for a run that was delayed or waits for its backoff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// What follows its end, where something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onward: Option<Box<Onward>>,
    /// The messages that it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
}

/// The messages of a run, by their places in its input, from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// How many there are.
    pub messages: u16,
    /// Those that are not done, where an attempt has done some; all of them otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Vec<u16>>,
}

/// One try of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Its id.
    pub id: AttemptId,
    /// From 1.
    pub number: u32,
    /// The instance that took it, once there was one.
    pub instance: Option<InstanceId>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Whether it had to start an instance.
    pub cold_start: bool,
    /// Microseconds spent waiting for an instance, apart from its start.
    pub queue_us: u64,
    /// How long it waited for the start of its instance; `None` for a warm attempt and for records of releases that
    /// counted the start as waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartTimes>,
    /// Microseconds from the invocation frame to the end of the reply.
    pub handler_us: u64,
    /// Most memory the sandbox has held so far, in bytes; `None` where it cannot be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// CPU time that the sandbox spent during this attempt, in microseconds; `None` where it cannot be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us: Option<u64>,
    /// Log lines that were dropped because the run wrote more than its limit.
    pub dropped_log_lines: u64,
    /// The catalogue entry of a failed attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// What happened, for a failed attempt of a run that was accepted for later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What the function raised, for such an attempt; its stack is shorter than the run's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<FunctionError>,
}

/// How important a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Detail for developers.
    Debug,
    /// Normal output.
    Info,
    /// Something looks wrong.
    Warn,
    /// Something is wrong.
    Error,
}

/// Where a log line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The language's logging library.
    Logger,
    /// The platform, about this run.
    Platform,
}

/// One line that a run wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// The owner.
    pub project: ProjectId,
    /// The function that wrote it.
    pub function: FunctionId,
    /// The run it belongs to; `None` for what an instance wrote outside any run (its import, say).
    pub run: Option<RunId>,
    /// When it was written.
    pub at: Timestamp,
    /// How important it is.
    pub level: LogLevel,
    /// Where it came from.
    pub stream: LogStream,
    /// The text without its line end.
    pub message: String,
}

// === impl TriggerKind ===

impl TriggerKind {
    /// Every kind.
    pub const ALL: [Self; 8] =
        [Self::Http, Self::Api, Self::Cron, Self::Webhook, Self::Event, Self::Queue, Self::Replay, Self::Destination];

    /// The kind as text, as on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Api => "api",
            Self::Cron => "cron",
            Self::Webhook => "webhook",
            Self::Event => "event",
            Self::Queue => "queue",
            Self::Replay => "replay",
            Self::Destination => "destination",
        }
    }
}

impl std::str::FromStr for TriggerKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.map(Self::as_str).into();
            format!("`{text}` is not a trigger; triggers are {}", known.join(", "))
        })
    }
}

// === impl LogLevel ===

impl LogLevel {
    /// The level as text, as on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}
