//! What ran, and what it wrote.

use async_trait::async_trait;
use faas_types::{Code, FunctionId, LogLevel, LogLine, ProjectId, RunId, RunRecord, RunState, Timestamp};

use crate::PortResult;

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
    /// Only created at or after this time, as their ids tell.
    pub since: Option<Timestamp>,
    /// Only created before this time, as their ids tell.
    pub until: Option<Timestamp>,
    /// After this run, going back in time.
    pub after: Option<RunCursor>,
    /// Rows at the most.
    pub limit: u32,
}

/// Runs, newest first.
#[derive(Clone, Debug, Default)]
pub struct RunPage {
    /// The rows.
    pub runs: Vec<RunRecord>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<RunCursor>,
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
    /// After this position, going forward.
    pub after: Option<LogCursor>,
    /// The newest lines instead of the oldest; still returned oldest first.
    pub tail: bool,
    /// Rows at the most.
    pub limit: u32,
}

/// Log lines, oldest first, each with its position.
#[derive(Clone, Debug, Default)]
pub struct LogPage {
    /// The rows.
    pub lines: Vec<(LogCursor, LogLine)>,
}

/// Append and query. Appends come in batches from a write-behind buffer.
#[async_trait]
pub trait RunHistory: Send + Sync {
    /// Inserts runs, or replaces those with the same id; a run in a terminal state is never replaced by one that
    /// is not.
    async fn record(&self, runs: Vec<RunRecord>) -> PortResult<()>;

    /// One run.
    async fn run(&self, project: ProjectId, id: RunId) -> PortResult<Option<RunRecord>>;

    /// A page of runs, newest first.
    async fn runs(&self, query: &RunQuery) -> PortResult<RunPage>;

    /// Appends log lines in the order given.
    async fn append_logs(&self, lines: Vec<LogLine>) -> PortResult<()>;

    /// A page of log lines.
    async fn logs(&self, query: &LogQuery) -> PortResult<LogPage>;

    /// Forgets ended runs and log lines older than `before`, `limit` rows at the most; returns how many went.
    async fn expire(&self, project: ProjectId, before: Timestamp, limit: u32) -> PortResult<u64>;
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
            after: None,
            tail: true,
            limit,
        }
    }
}
