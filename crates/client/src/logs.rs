//! Log lines: a page of them, or followed as they come.

use faas_proto::rest::{LogLineView, LogList, StreamEvent};
use faas_types::LogLevel;
use serde::{Serialize, Serializer};

use crate::client::segment;
use crate::functions::path;
use crate::stream::EventFollower;
use crate::{Client, ClientError, Rows};

/// Whose lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogSource {
    /// All functions of the project.
    Project,
    /// A function's, by name or id.
    Function(String),
    /// A run's, by id.
    Run(String),
}

/// Which lines. What is absent does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ListLogs {
    /// Lines after this position.
    pub after: Option<u64>,
    /// Lines of at least this level.
    pub level: Option<LogLevel>,
    /// Lines that hold this text.
    pub search: Option<String>,
    /// Lines at or after this RFC 3339 time.
    pub since: Option<String>,
    /// Lines before this RFC 3339 time.
    pub until: Option<String>,
    /// Lines of this run.
    pub run: Option<String>,
    /// The newest lines first; what is followed begins with the newest ones.
    #[serde(rename = "order", serialize_with = "order")]
    pub newest_first: bool,
}

/// What is followed: the lines, and how many of those that are there come first.
#[derive(Serialize)]
struct Followed {
    #[serde(flatten)]
    query: ListLogs,
    limit: u32,
}

fn order<S: Serializer>(newest_first: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *newest_first { "desc" } else { "asc" })
}

/// Follows a log and opens the stream again where it broke, without losing or repeating lines.
#[derive(Debug)]
pub struct LogFollower(EventFollower);

// === impl LogSource ===

impl LogSource {
    fn path(&self) -> Result<String, ClientError> {
        match self {
            Self::Project => Ok("api/v1/logs".to_owned()),
            Self::Function(name) => path(name, "/logs"),
            Self::Run(id) => Ok(format!("api/v1/runs/{}/logs", segment(id)?)),
        }
    }
}

// === impl Client ===

impl Client {
    /// Lines, oldest first where nothing else is asked for.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn logs(&self, source: &LogSource, query: &ListLogs, rows: &Rows) -> Result<LogList, ClientError> {
        self.rows(&source.path()?, query, rows).await
    }

    /// Opens a stream of lines. Of those that are there, `limit` come first where the newest are asked for.
    ///
    /// # Errors
    /// See [`ClientError`]; here only for the first connection.
    pub async fn follow_logs(
        &self,
        source: LogSource,
        query: ListLogs,
        limit: u32,
    ) -> Result<LogFollower, ClientError> {
        Ok(LogFollower(self.follow(source.path()?, &Followed { query, limit }).await?))
    }
}

// === impl LogFollower ===

impl LogFollower {
    /// The type of the event that has a line.
    pub const LINE: &str = "log";

    /// Waits for the next line, or for the end of the run that is followed; `None` after that.
    ///
    /// # Errors
    /// When the server stays away, or refuses.
    pub async fn next_event(&mut self) -> Result<Option<StreamEvent>, ClientError> {
        while let Some(event) = self.0.next().await? {
            if event.kind == Self::LINE || event.is_last() {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Waits for the next line; `None` once the run that is followed has ended and all its lines were given.
    ///
    /// # Errors
    /// When the server stays away, or refuses.
    pub async fn next(&mut self) -> Result<Option<LogLineView>, ClientError> {
        match self.next_event().await? {
            Some(event) if event.kind == Self::LINE => Self::line(event).map(Some),
            _ => Ok(None),
        }
    }

    /// The line of an event.
    ///
    /// # Errors
    /// When it has none.
    pub fn line(event: StreamEvent) -> Result<LogLineView, ClientError> {
        serde_json::from_value(event.data)
            .map_err(|error| ClientError::InvalidArgument(format!("a log line does not fit: {error}")))
    }

    /// The event that a line of a page would have come in.
    #[must_use]
    pub fn event(line: &LogLineView) -> StreamEvent {
        StreamEvent {
            id: line.position.to_string(),
            kind: Self::LINE.to_owned(),
            at: line.at.clone(),
            data: serde_json::to_value(line).unwrap_or_default(),
        }
    }
}
