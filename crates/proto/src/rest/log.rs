//! Log lines. A followed log comes as server-sent events: `event: line`, `id` the cursor, `data` a [`LogLineView`].

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
    /// Pass as `after` for what follows; `null` when there are no rows.
    pub next: Option<u64>,
}
