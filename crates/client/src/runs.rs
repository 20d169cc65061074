//! Runs.

use faas_proto::rest::{RunList, RunView};
use faas_types::{RunState, TriggerKind};
use serde::Serialize;

use crate::client::segment;
use crate::{Client, ClientError, Rows};

/// Which runs to list. What is absent does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ListRuns {
    /// The function's name or id.
    pub function: Option<String>,
    /// Where the run stands.
    pub state: Option<RunState>,
    /// The catalogue entry it failed with.
    pub code: Option<String>,
    /// Whether it had to start an instance.
    pub cold: Option<bool>,
    /// The version's number.
    pub version: Option<u32>,
    /// What created it.
    pub trigger: Option<TriggerKind>,
    /// Ended ones that took at least so long, such as `250ms`.
    pub min_duration: Option<String>,
    /// Ended ones that took at most so long.
    pub max_duration: Option<String>,
    /// Accepted at or after this RFC 3339 time.
    pub since: Option<String>,
    /// Accepted before this RFC 3339 time.
    pub until: Option<String>,
}

// === impl Client ===

impl Client {
    /// Runs, newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn runs(&self, query: &ListRuns, rows: &Rows) -> Result<RunList, ClientError> {
        self.rows("api/v1/runs", query, rows).await
    }

    /// One run.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn run(&self, id: &str) -> Result<RunView, ClientError> {
        self.get(&format!("api/v1/runs/{}", segment(id)?), &()).await
    }
}
