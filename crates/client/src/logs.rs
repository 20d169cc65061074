//! Log lines: a page of them, or followed as they come.

use std::collections::VecDeque;
use std::time::Duration;

use faas_proto::rest::{LogLineView, LogList};
use faas_types::LogLevel;
use reqwest::header::ACCEPT;
use reqwest::{Method, Response};
use serde::Serialize;
use tokio::time::{sleep, timeout};

use crate::client::segment;
use crate::functions::path;
use crate::sse::{Event, EventParser};
use crate::{Client, ClientError};

/// Silence after which the line is taken for dead and opened again, which costs nothing but a request. A server sends a
/// sign of life every 15 seconds.
const SILENCE: Duration = Duration::from_secs(60);
const RECONNECT_FIRST: Duration = Duration::from_millis(250);
const RECONNECT_MOST: Duration = Duration::from_secs(5);
/// Failed attempts in a row, about a minute in all, before following ends with the error.
const RECONNECT_TRIES: u32 = 15;
/// Longer than any stream lives; the silence bound is the one that matters.
const STREAM_TIMEOUT: Duration = Duration::from_secs(30 * 24 * 3_600);

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
    /// Lines after this cursor: `next` of a page.
    pub after: Option<u64>,
    /// Lines before this cursor: `previous` of a page.
    pub before: Option<u64>,
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
    /// The newest lines rather than the oldest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail: Option<bool>,
    /// Lines in the page.
    pub limit: Option<u32>,
}

/// Follows a log and opens the stream again where it broke, without losing or repeating lines.
#[derive(Debug)]
pub struct LogFollower {
    client: Client,
    source: LogSource,
    query: ListLogs,
    last_id: Option<String>,
    stream: Option<(Response, EventParser)>,
    ready: VecDeque<Event>,
    failures: u32,
}

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
    /// One page of lines, oldest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn logs(&self, source: &LogSource, query: &ListLogs) -> Result<LogList, ClientError> {
        self.get(&source.path()?, query).await
    }

    /// Opens a stream of lines.
    ///
    /// # Errors
    /// See [`ClientError`]; here only for the first connection.
    pub async fn follow_logs(&self, source: LogSource, query: ListLogs) -> Result<LogFollower, ClientError> {
        let mut follower = LogFollower {
            client: self.clone(),
            source,
            query,
            last_id: None,
            stream: None,
            ready: VecDeque::new(),
            failures: 0,
        };
        follower.connect().await?;
        Ok(follower)
    }
}

// === impl LogFollower ===

impl LogFollower {
    /// Waits for the next line; `None` once the run that is followed has ended and all its lines were given.
    ///
    /// # Errors
    /// When the server stays away, or refuses.
    pub async fn next(&mut self) -> Result<Option<LogLineView>, ClientError> {
        loop {
            while let Some(event) = self.ready.pop_front() {
                match event.kind.as_str() {
                    "line" => return self.line(&event).map(Some),
                    "position" => self.last_id = event.id,
                    "end" => return Ok(None),
                    _ => {}
                }
            }
            if self.stream.is_none() {
                self.reconnect().await?;
            }
            self.receive().await?;
        }
    }

    fn line(&mut self, event: &Event) -> Result<LogLineView, ClientError> {
        let line: LogLineView = serde_json::from_str(&event.data)
            .map_err(|error| self.client.protocol(format!("a log line does not fit: {error}")))?;
        // A stream that is opened again goes on after this line.
        self.query.after = Some(line.cursor);
        self.last_id = event.id.clone().or_else(|| Some(line.cursor.to_string()));
        Ok(line)
    }

    /// Takes one chunk, or drops a stream that has broken.
    async fn receive(&mut self) -> Result<(), ClientError> {
        let Some((response, parser)) = &mut self.stream else { return Ok(()) };
        match timeout(SILENCE, response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                let events = parser.feed(&chunk).map_err(|message| self.client.protocol(message))?;
                self.ready.extend(events);
                self.failures = 0;
            }
            Ok(Ok(None) | Err(_)) | Err(_) => self.stream = None,
        }
        Ok(())
    }

    async fn reconnect(&mut self) -> Result<(), ClientError> {
        loop {
            let pause = RECONNECT_FIRST.saturating_mul(1 << self.failures.min(8)).min(RECONNECT_MOST);
            sleep(pause).await;
            match self.connect().await {
                Err(ClientError::Unreachable { .. } | ClientError::Timeout { .. })
                    if self.failures < RECONNECT_TRIES =>
                {
                    self.failures += 1;
                }
                outcome => {
                    self.failures += 1;
                    return outcome;
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<(), ClientError> {
        let mut request = self
            .client
            .request(Method::GET, &self.source.path()?)?
            .timeout(STREAM_TIMEOUT)
            .header(ACCEPT, "text/event-stream")
            .query(&self.query)
            .query(&[("follow", "true")]);
        if let Some(id) = &self.last_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = self.client.accept(request).await?;
        if Client::media_type(&response) != "text/event-stream" {
            return Err(self.client.protocol("a followed log is not an event stream"));
        }
        self.stream = Some((response, EventParser::default()));
        Ok(())
    }
}
