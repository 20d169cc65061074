//! Log lines. A followed log comes as server-sent events: `line` with a [`LogLineView`] as data, `position` where lines were
//! passed over that do not match, and `end` after the last line of a run that has ended. Each has the cursor as its id.

use faas_types::{LogLevel, LogStream};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLineView {
    /// Its position; rises.
    pub cursor: u64,
    /// When it was written.
    pub at: String,
    /// How important.
    pub level: LogLevel,
    /// Where from.
    pub stream: LogStream,
    /// The function's name; its id where it was deleted.
    pub function: String,
    /// The run; `null` for what an instance wrote outside runs.
    pub run_id: Option<String>,
    /// The text.
    pub message: String,
}

/// Lines, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogList {
    /// The rows.
    pub lines: Vec<LogLineView>,
    /// Pass as `after` for what follows.
    pub next: u64,
    /// Whether something may follow already: a page looks at so many lines at the most and may hold none.
    pub more: bool,
    /// For a `tail`: pass as `before` for what came before; `null` when nothing did.
    pub previous: Option<u64>,
}

/// One server-sent event of a followed log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogEvent {
    /// `line`, `position` or `end`.
    pub event: String,
    /// Where to go on after a broken connection; send it as `Last-Event-ID`. None on `end`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// A [`LogLineView`] as JSON for `line`; an empty object for the others.
    pub data: String,
}
