//! Log lines. A followed log is a stream of events: `log` with a [`LogLineView`] as data, `position` where lines were passed over
//! that do not match, and `end` after the last line of a run that has ended.

use faas_types::{LogLevel, LogStream};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ListPage;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLineView {
    /// Its position; rises.
    pub position: u64,
    /// When it was written.
    pub at: String,
    /// How important.
    pub level: LogLevel,
    /// Where from.
    pub stream: LogStream,
    /// The function's name; its id where it was deleted.
    pub function: String,
    /// The function's id.
    #[schema(example = "fn_01JD2Z7Y5T0000000000000000")]
    pub function_id: String,
    /// The run; `null` for what an instance wrote outside runs.
    pub run_id: Option<String>,
    /// The text.
    pub message: String,
}

/// Lines, oldest first.
pub type LogList = ListPage<LogLineView>;
