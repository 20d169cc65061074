//! What is remembered of a run and its attempts.

use serde::{Deserialize, Serialize};

use crate::{
    AttemptId, Code, Completion, FunctionError, FunctionVersion, IllegalTransition, InstanceId, IsolationLevel,
    JsonText, ProjectId, RunEffect, RunEvent, RunId, RunPhase, RunState, RunSubject, Stage, StartTimes, Timestamp,
    TriggerName,
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
    /// What runs.
    pub subject: RunSubject,
    /// Whose vars and secrets it runs with.
    #[serde(default, skip_serializing_if = "Stage::is_default")]
    pub stage: Stage,
    /// Where it stands. Private: only [`RunRecord::take`] changes it.
    state: RunState,
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
    pub completion: Option<Box<Completion>>,
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

// === impl RunRecord ===

impl RunRecord {
    /// A run that was just accepted.
    #[must_use]
    pub fn queued(
        id: RunId,
        project: ProjectId,
        subject: RunSubject,
        trigger: TriggerKind,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            project,
            subject,
            stage: Stage::Prod,
            state: RunState::Queued,
            trigger,
            trigger_name: None,
            created_at,
            started_at: None,
            finished_at: None,
            duration_us: None,
            cold_start: false,
            isolation: IsolationLevel::Process,
            attempts: Vec::with_capacity(1),
            code: None,
            message: None,
            error: None,
            http_status: None,
            result: None,
            origin: None,
            due_at: None,
            completion: None,
            batch: None,
        }
    }

    /// The function that runs, at its version.
    #[must_use]
    pub const fn function(&self) -> &FunctionVersion {
        let RunSubject::Function(function) = &self.subject;
        function
    }

    /// The same, to be changed.
    #[must_use]
    pub const fn function_mut(&mut self) -> &mut FunctionVersion {
        let RunSubject::Function(function) = &mut self.subject;
        function
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> RunState {
        self.state
    }

    /// Moves it on, where `attempts_max` tries are allowed in all. Those that `attempts` holds have begun: a start comes before
    /// its attempt is added, an end after it.
    ///
    /// # Errors
    /// When its state does not take the event; it then stands where it stood.
    pub fn take(&mut self, event: RunEvent, attempts_max: u32) -> Result<RunEffect, IllegalTransition> {
        let attempts = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX - 1);
        let phase = RunPhase { state: self.state, attempts, max_attempts: attempts_max.max(1) };
        let (next, effect) = phase.on(event)?;
        self.state = next.state;
        Ok(effect)
    }
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
