//! Lines that runs write.

use serde::{Deserialize, Serialize};

use crate::{FunctionId, ProjectId, RunId, Timestamp};

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
