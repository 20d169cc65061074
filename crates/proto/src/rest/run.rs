//! Runs.

use faas_types::{Callback, CauseClass, Destination, FunctionError, JsonText, RunState, Stage, TriggerKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ListPage;

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunView {
    /// Its id.
    pub id: String,
    /// The name that the function had.
    pub function: String,
    /// The function's id, which no other function ever has.
    #[schema(example = "fn_01JD2Z7Y5T0000000000000000")]
    pub function_id: String,
    /// The version's number.
    pub version: u32,
    /// Whose vars and secrets it runs with; `prod` where absent.
    #[serde(default, skip_serializing_if = "Stage::is_default")]
    pub stage: Stage,
    /// Where it stands.
    pub state: RunState,
    /// What created it.
    pub trigger: TriggerKind,
    /// The name of the trigger, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger_name: Option<String>,
    /// When it was accepted.
    pub created_at: String,
    /// When its first attempt began.
    pub started_at: Option<String>,
    /// When it ended.
    pub finished_at: Option<String>,
    /// Milliseconds from acceptance to the end.
    pub duration_ms: Option<f64>,
    /// Whether an instance had to be started.
    pub cold_start: bool,
    /// The isolation level that held: 0, 1 or 2.
    pub isolation: u8,
    /// The HTTP status that the caller saw.
    pub http_status: Option<u16>,
    /// The tries, oldest first.
    pub attempts: Vec<AttemptView>,
    /// Why it failed.
    pub error: Option<RunErrorView>,
    /// The reply's body where it was JSON and small, with every digit of its numbers.
    #[schema(value_type = Option<serde_json::Value>)]
    pub result: Option<JsonText>,
    /// Whether what it was called with is kept, so that it can be replayed. Absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_kept: Option<bool>,
    /// The run that this one repeats, or whose destination it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_run_id: Option<String>,
    /// When the next attempt may begin, for a run that was delayed or waits for its backoff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<String>,
    /// Whom the server tells of the run's end, and how far that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
    /// The function that goes on after the run, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,
    /// The messages that it carries, for a run of a queue trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchView>,
}

/// The messages of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchView {
    /// How many it began with.
    pub messages: u16,
    /// How many the function has not done; they come again with the next attempt.
    pub left: u16,
}

/// One try of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AttemptView {
    /// Its id.
    pub id: String,
    /// From 1.
    pub number: u32,
    /// The instance that took it.
    pub instance: Option<String>,
    /// When it began.
    pub started_at: String,
    /// When it ended.
    pub finished_at: Option<String>,
    /// Whether it had to start an instance.
    pub cold_start: bool,
    /// Milliseconds spent waiting for an instance, apart from its start.
    pub queue_ms: f64,
    /// How long it waited for its instance to start; absent for a warm one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartView>,
    /// Milliseconds that the handler took.
    pub handler_ms: f64,
    /// Most memory that the sandbox has held, where it can be measured.
    pub peak_memory_bytes: Option<u64>,
    /// CPU milliseconds spent, where they can be measured.
    pub cpu_ms: Option<f64>,
    /// Log lines dropped because the run wrote more than its limit.
    pub dropped_log_lines: u64,
    /// The catalogue entry of a failed attempt.
    pub code: Option<String>,
    /// What happened, for a failed attempt of a run that was accepted for later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What the function raised, for a failed attempt of a run that was accepted for later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<FunctionError>,
}

/// How long an attempt waited for each step of its instance's start, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StartView {
    /// Opening the sandbox.
    pub sandbox_ms: f64,
    /// Starting the runtime in it.
    pub runtime_ms: f64,
    /// Importing the user's code.
    pub import_ms: f64,
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunErrorView {
    /// The catalogue entry.
    pub code: String,
    /// What happened, in one line.
    pub summary: String,
    /// What happened, in full.
    pub message: String,
    /// What probably caused it.
    pub cause: CauseClass,
    /// The next step to take.
    pub advice: String,
    /// The type of the function's own error.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The stack, outermost call first.
    pub stack: Vec<String>,
    /// The user's own file, relative to the project.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u32>,
    /// The column in that line; known for syntax errors.
    pub column: Option<u32>,
    /// The source line with a caret under the place; known for syntax errors.
    pub snippet: Option<String>,
}

/// A page of runs, newest first.
pub type RunList = ListPage<RunView>;
