//! Background runs and dead letters.

use std::time::Duration;

use faas_proto::rest::{
    AcceptedRun, DeadLetterFilter, DeadLetterList, DeadLetterView, FunctionView, PurgeReport, RedriveReport,
    ReplayRequest, RunInputView, RunView,
};
use faas_types::Span;
use reqwest::Method;
use serde::Serialize;

use crate::client::segment;
use crate::functions::path;
use crate::invoke::InvokeRequest;
use crate::{Client, ClientError, Rows};

/// The longest wait that a server takes in one request.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Options of a background run. Absent ones take the function's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaterOptions {
    /// How long to wait before the first attempt.
    pub delay: Option<Span>,
    /// How long after acceptance an attempt may begin.
    pub max_age: Option<Span>,
    /// Runs of the function with the same key go one at a time, in order.
    pub ordering_key: Option<String>,
    /// Higher goes first; 0 to 255.
    pub priority: Option<u8>,
    /// A name for this request: sent again with the same name it makes no second run.
    pub idempotency_key: Option<String>,
    /// URL that receives a signed POST when the run ends.
    pub callback_url: Option<String>,
}

/// Which dead letters a page holds. What is absent does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ListDeadLetters {
    /// The function's name or id.
    pub function: Option<String>,
    /// The catalogue entry it failed with.
    pub code: Option<String>,
    /// Accepted at or after this RFC 3339 time.
    pub since: Option<String>,
    /// Accepted before this RFC 3339 time.
    pub until: Option<String>,
}

// === impl LaterOptions ===

impl LaterOptions {
    fn headers(&self) -> Vec<(String, String)> {
        let header = |name: &str, value: Option<String>| value.map(|value| (name.to_owned(), value));
        [
            Some(("prefer".to_owned(), "respond-async".to_owned())),
            header("x-run-delay", self.delay.map(|span| span.to_string())),
            header("x-run-max-age", self.max_age.map(|span| span.to_string())),
            header("x-ordering-key", self.ordering_key.clone()),
            header("x-run-priority", self.priority.map(|priority| priority.to_string())),
            header("idempotency-key", self.idempotency_key.clone()),
            header("x-callback-url", self.callback_url.clone()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

// === impl Client ===

impl Client {
    /// Enqueues a call as a background run. Once this returns, the run survives a crash of the server.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn invoke_later(
        &self,
        name: &str,
        mut call: InvokeRequest,
        options: &LaterOptions,
    ) -> Result<AcceptedRun, ClientError> {
        call.headers.extend(options.headers());
        let reply = self.invoke(name, call).await?;
        if reply.status != 202 {
            return Err(self.protocol(format!("HTTP {} instead of an accepted run", reply.status)));
        }
        serde_json::from_slice(&reply.body).map_err(|error| self.protocol(format!("the body does not fit: {error}")))
    }

    /// A run once it has ended, or as it stands when the patience is over.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn await_run(&self, id: &str, patience: Duration) -> Result<RunView, ClientError> {
        let wait = Span::from_millis(u64::try_from(patience.min(WAIT_MAX).as_millis()).unwrap_or(u64::MAX));
        self.get(&format!("api/v1/runs/{}", segment(id)?), &[("wait", wait.to_string())]).await
    }

    /// Ends a run that has not ended.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn cancel_run(&self, id: &str) -> Result<RunView, ClientError> {
        self.read(self.request(Method::POST, &format!("api/v1/runs/{}/cancel", segment(id)?))?).await
    }

    /// Runs an ended run again.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn replay_run(&self, id: &str, body: &ReplayRequest) -> Result<AcceptedRun, ClientError> {
        self.send(Method::POST, &format!("api/v1/runs/{}/replay", segment(id)?), body).await
    }

    /// What a run was called with, while that is kept.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn run_input(&self, id: &str) -> Result<RunInputView, ClientError> {
        self.get(&format!("api/v1/runs/{}/input", segment(id)?), &()).await
    }

    /// Holds the accepted runs of a function back, or lets them go on.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn pause_function(&self, name: &str, paused: bool) -> Result<FunctionView, ClientError> {
        let verb = if paused { "/pause" } else { "/resume" };
        self.read(self.request(Method::POST, &path(name, verb)?)?).await
    }

    /// Dead letters, newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn dead_letters(&self, query: &ListDeadLetters, rows: &Rows) -> Result<DeadLetterList, ClientError> {
        self.rows("api/v1/dead-letters", query, rows).await
    }

    /// One dead letter with its input.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn dead_letter(&self, id: &str) -> Result<DeadLetterView, ClientError> {
        self.get(&format!("api/v1/dead-letters/{}", segment(id)?), &()).await
    }

    /// Tries one dead letter again.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn redrive(&self, id: &str) -> Result<RedriveReport, ClientError> {
        self.read(self.request(Method::POST, &format!("api/v1/dead-letters/{}/redrive", segment(id)?))?).await
    }

    /// Tries all dead letters of a filter again.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn redrive_all(&self, filter: &DeadLetterFilter) -> Result<RedriveReport, ClientError> {
        self.send(Method::POST, "api/v1/dead-letters/actions/redrive", filter).await
    }

    /// Forgets one dead letter.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn purge(&self, id: &str) -> Result<(), ClientError> {
        self.done(self.request(Method::DELETE, &format!("api/v1/dead-letters/{}", segment(id)?))?).await
    }

    /// Forgets all dead letters of a filter.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn purge_all(&self, filter: &DeadLetterFilter) -> Result<PurgeReport, ClientError> {
        self.send(Method::POST, "api/v1/dead-letters/actions/purge", filter).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_travel_as_headers() {
        let options = LaterOptions {
            delay: Some(Span::from_secs(90)),
            priority: Some(7),
            idempotency_key: Some("k".into()),
            ..LaterOptions::default()
        };
        let pairs =
            [("prefer", "respond-async"), ("x-run-delay", "90s"), ("x-run-priority", "7"), ("idempotency-key", "k")];
        assert_eq!(options.headers(), pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
