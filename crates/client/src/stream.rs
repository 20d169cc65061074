//! Streams of events: read as they come, opened again where they broke.

use std::collections::VecDeque;
use std::time::Duration;

use faas_proto::rest::{Problem, StreamEvent};
use reqwest::header::ACCEPT;
use reqwest::{Method, Response};
use serde::Serialize;
use tokio::time::{sleep, timeout};

use crate::sse::EventParser;
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

/// Follows a stream and opens it again where it broke, without losing or repeating events.
#[derive(Debug)]
pub(crate) struct EventFollower {
    client: Client,
    path: String,
    query: Vec<(String, String)>,
    last_id: Option<String>,
    stream: Option<(Response, EventParser)>,
    ready: VecDeque<StreamEvent>,
    failures: u32,
    has_ended: bool,
}

// === impl Client ===

impl Client {
    /// Opens a stream.
    pub(crate) async fn follow(&self, path: String, query: &impl Serialize) -> Result<EventFollower, ClientError> {
        let mut follower = EventFollower {
            client: self.clone(),
            path,
            query: pairs(query),
            last_id: None,
            stream: None,
            ready: VecDeque::new(),
            failures: 0,
            has_ended: false,
        };
        follower.connect().await?;
        Ok(follower)
    }
}

// === impl EventFollower ===

impl EventFollower {
    /// Waits for the next event. The last one is `end`; `None` follows.
    ///
    /// # Errors
    /// The problem with which the stream ends; otherwise when the server stays away, or refuses.
    pub(crate) async fn next(&mut self) -> Result<Option<StreamEvent>, ClientError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return self.take(event).map(Some);
            }
            if self.has_ended {
                return Ok(None);
            }
            if self.stream.is_none() {
                self.reconnect().await?;
            }
            self.receive().await?;
        }
    }

    fn take(&mut self, event: StreamEvent) -> Result<StreamEvent, ClientError> {
        // A stream that is opened again goes on after this event.
        self.last_id = Some(event.id.clone());
        self.has_ended |= event.is_last();
        if event.kind != StreamEvent::ERROR {
            return Ok(event);
        }
        let problem: Problem = serde_json::from_value(event.data)
            .map_err(|error| self.client.protocol(format!("the problem of a stream does not fit: {error}")))?;
        Err(ClientError::Api(Box::new(problem)))
    }

    /// Takes one chunk, or drops a stream that has broken.
    async fn receive(&mut self) -> Result<(), ClientError> {
        let Some((response, parser)) = &mut self.stream else { return Ok(()) };
        match timeout(SILENCE, response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                let events = parser.feed(&chunk).map_err(|message| self.client.protocol(message))?;
                for event in events {
                    let event = serde_json::from_str(&event.data)
                        .map_err(|error| self.client.protocol(format!("an event does not fit: {error}")))?;
                    self.ready.push_back(event);
                }
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
                Err(error) if may_pass(&error) && self.failures < RECONNECT_TRIES => self.failures += 1,
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
            .request(Method::GET, &self.path)?
            .timeout(STREAM_TIMEOUT)
            .header(ACCEPT, "text/event-stream")
            .query(&self.query);
        if let Some(id) = &self.last_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = self.client.accept(request).await?;
        if Client::media_type(&response) != "text/event-stream" {
            return Err(self.client.protocol("what is followed is not an event stream"));
        }
        self.stream = Some((response, EventParser::default()));
        Ok(())
    }
}

/// Whether the server may answer when it is asked again: it starts, or is out of reach for a while.
fn may_pass(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } | ClientError::Timeout { .. } => true,
        ClientError::Api(problem) => problem.status == 503,
        _ => false,
    }
}

/// The parameters of a query that are there.
fn pairs(query: &impl Serialize) -> Vec<(String, String)> {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(query) else { return Vec::new() };
    let text = |value: serde_json::Value| match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    fields.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect()
}
