//! What ran, and what it wrote.

use std::time::Duration;

use async_trait::async_trait;
use faas_types::{Code, FunctionId, LogLevel, LogLine, ProjectId, RunId, RunRecord, RunState, Timestamp, TriggerKind};

use crate::PortResult;

/// The maximum of runs that one page examines. A filter that matches nothing must not read the whole history in one
/// request.
pub const RUNS_EXAMINED_MAX: u64 = 10_000;

/// The maximum of log lines that one page examines.
pub const LINES_EXAMINED_MAX: u64 = 10_000;

/// Continues a listing of runs after this one.
pub type RunCursor = RunId;

/// Continues a listing of log lines after this position; rises with every appended line of the store.
pub type LogCursor = u64;

/// Which runs to list.
#[derive(Clone, Debug)]
pub struct RunQuery {
    /// The owner.
    pub project: ProjectId,
    /// Only this function's.
    pub function: Option<FunctionId>,
    /// Only in this state.
    pub state: Option<RunState>,
    /// Only that ended with this code.
    pub code: Option<Code>,
    /// Only cold (or warm) ones.
    pub cold_start: Option<bool>,
    /// Only of this version.
    pub version: Option<u32>,
    /// Only created by this.
    pub trigger: Option<TriggerKind>,
    /// Only ended ones that took at least this long.
    pub duration_min: Option<Duration>,
    /// Only ended ones that took at most this long.
    pub duration_max: Option<Duration>,
    /// Only created at or after this time, as their ids tell.
    pub since: Option<Timestamp>,
    /// Only created before this time, as their ids tell.
    pub until: Option<Timestamp>,
    /// After this run, going back in time.
    pub after: Option<RunCursor>,
    /// The maximum of rows.
    pub limit: u32,
}

/// Runs, newest first.
#[derive(Clone, Debug, Default)]
pub struct RunPage {
    /// The rows.
    pub runs: Vec<RunRecord>,
    /// Where the next page starts; `None` at the end. A page that has looked at [`RUNS_EXAMINED_MAX`] runs stops there,
    /// with fewer rows than asked for or none.
    pub next: Option<RunCursor>,
    /// Runs that were looked at.
    pub examined: u64,
}

/// Which log lines to list.
#[derive(Clone, Debug)]
pub struct LogQuery {
    /// The owner.
    pub project: ProjectId,
    /// Only this function's.
    pub function: Option<FunctionId>,
    /// Only this run's.
    pub run: Option<RunId>,
    /// Only at least this important.
    pub level: Option<LogLevel>,
    /// Only lines that contain this text, ignoring case of ASCII letters.
    pub search: Option<String>,
    /// Only written at or after this time.
    pub since: Option<Timestamp>,
    /// Only written before this time.
    pub until: Option<Timestamp>,
    /// Only after this position.
    pub after: Option<LogCursor>,
    /// Only before this position.
    pub before: Option<LogCursor>,
    /// The newest lines instead of the oldest; still returned oldest first.
    pub tail: bool,
    /// The maximum of rows.
    pub limit: u32,
}

/// Log lines, oldest first, each with its position.
///
/// A page that has looked at [`LINES_EXAMINED_MAX`] lines stops there, with fewer rows than asked for or none, and says
/// where to go on.
#[derive(Clone, Debug, Default)]
pub struct LogPage {
    /// The rows.
    pub lines: Vec<(LogCursor, LogLine)>,
    /// What was written after this position has not been looked at; pass it as [`LogQuery::after`]. Never before the
    /// query's own.
    pub next: LogCursor,
    /// Whether there may be more after [`Self::next`] already.
    pub more: bool,
    /// For a tail that stopped before the oldest line: pass it as [`LogQuery::before`].
    pub previous: Option<LogCursor>,
    /// Lines that were looked at.
    pub examined: u64,
}

/// What may go. Each time is exclusive.
#[derive(Clone, Debug)]
pub struct Expiry {
    /// The owner.
    pub project: ProjectId,
    /// Runs that were created before this and have ended are removed.
    pub runs_before: Timestamp,
    /// The maximum of bytes of all run records. The oldest ended runs are removed first.
    pub run_bytes_max: u64,
    /// Results of runs that were created before this are removed; the runs stay.
    pub results_before: Timestamp,
    /// Lines that were written before this are removed.
    pub lines_before: Timestamp,
    /// The current time. A line with a later timestamp is removed with the lines that follow it.
    pub now: Timestamp,
    /// The maximum of bytes of all lines. The oldest are removed first.
    pub log_bytes_max: u64,
    /// The maximum of rows of each kind in one step. A step delays other writers.
    pub limit: u32,
}

/// What one step of expiry did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Runs that went.
    pub runs: u64,
    /// Results that went.
    pub results: u64,
    /// Lines that went.
    pub lines: u64,
    /// Bytes that were given back to the file system.
    pub reclaimed: u64,
    /// Bytes of the project's lines that are left.
    pub log_bytes: u64,
    /// Whether another step has something to do.
    pub more: bool,
}

/// Append and query. Appends come in batches from a write-behind buffer.
#[async_trait]
pub trait RunHistory: Send + Sync {
    /// Inserts runs, or replaces those with the same id; a run in a terminal state is never replaced by one that
    /// is not. Encodes them on the caller's thread, which may take milliseconds: no worker's.
    async fn record(&self, runs: Vec<RunRecord>) -> PortResult<()>;

    /// One run.
    async fn run(&self, project: ProjectId, id: RunId) -> PortResult<Option<RunRecord>>;

    /// A page of runs, newest first.
    async fn runs(&self, query: &RunQuery) -> PortResult<RunPage>;

    /// Appends log lines in the order given.
    async fn append_logs(&self, lines: Vec<LogLine>) -> PortResult<()>;

    /// A page of log lines.
    async fn logs(&self, query: &LogQuery) -> PortResult<LogPage>;

    /// Takes one step of forgetting what has expired, oldest first, and of giving its room back. Each step is whole
    /// however the server ends.
    async fn expire(&self, expiry: &Expiry) -> PortResult<Expired>;
}

// === impl RunQuery ===

impl RunQuery {
    /// The newest runs of a project.
    #[must_use]
    pub fn newest(project: ProjectId, limit: u32) -> Self {
        Self {
            project,
            function: None,
            state: None,
            code: None,
            cold_start: None,
            version: None,
            trigger: None,
            duration_min: None,
            duration_max: None,
            since: None,
            until: None,
            after: None,
            limit,
        }
    }
}

// === impl LogQuery ===

impl LogQuery {
    /// The newest lines of a project.
    #[must_use]
    pub fn newest(project: ProjectId, limit: u32) -> Self {
        Self {
            project,
            function: None,
            run: None,
            level: None,
            search: None,
            since: None,
            until: None,
            after: None,
            before: None,
            tail: true,
            limit,
        }
    }
}

// === impl Expiry ===

impl Expiry {
    /// Nothing expires.
    #[must_use]
    pub fn nothing(project: ProjectId, limit: u32) -> Self {
        let never = Timestamp::from_millis(0);
        Self {
            project,
            runs_before: never,
            run_bytes_max: u64::MAX,
            results_before: never,
            lines_before: never,
            now: Timestamp::from_millis(u64::MAX),
            log_bytes_max: u64::MAX,
            limit,
        }
    }
}
