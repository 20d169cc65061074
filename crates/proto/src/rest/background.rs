//! Runs that were accepted for later, their inputs and the dead letters.

use faas_types::{JsonText, RunState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ListPage, RunView};

/// A run that was accepted for later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AcceptedRun {
    /// Its id.
    pub run_id: String,
    /// Where it stood when it was accepted.
    pub state: RunState,
    /// Whether an earlier request with the same idempotency key had made it.
    pub repeated: bool,
}

/// Which version a replay runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplayVersion {
    /// The version of the run that is replayed.
    #[default]
    Same,
    /// The version that `live` points to.
    Current,
}

/// How to run an ended run again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    /// Another body, as JSON; the run's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub payload: Option<JsonText>,
    /// Which version it runs on.
    #[serde(default)]
    pub version: ReplayVersion,
}

/// A header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeaderView {
    /// Its name, in lower case.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What a run was called with. Of the three bodies the first that fits is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunInputView {
    /// The HTTP method.
    pub method: String,
    /// The path below the function's URL.
    pub path: String,
    /// The query.
    pub query: String,
    /// The headers; the values of credentials are left out.
    pub headers: Vec<HeaderView>,
    /// The body where it is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub json: Option<JsonText>,
    /// The body where it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The body in base 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// A run that was given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterView {
    /// The run with all its attempts.
    pub run: RunView,
    /// Why no attempt followed.
    pub reason: String,
    /// When it was given up.
    pub died_at: String,
    /// What it was called with; in lists it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<RunInputView>,
}

/// A page of dead letters, newest first.
pub type DeadLetterList = ListPage<DeadLetterView>;

/// Which dead letters to redrive or purge. What is absent does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetterFilter {
    /// Only of this function, by name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Only with this code, such as `FN_002`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 400)]
    pub code: Option<String>,
    /// Only accepted since: a time such as `2026-11-21T08:00:00Z`, or how long ago, such as `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 40)]
    pub since: Option<String>,
    /// Only accepted before, in the same form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 40)]
    pub until: Option<String>,
    /// Dead letters at the most, newest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
}

/// A dead letter that was tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RedrivenView {
    /// The run that had been given up.
    pub dead: String,
    /// The run that tries it again.
    pub run_id: Option<String>,
    /// Why it stays a dead letter, where it does.
    pub error: Option<String>,
}

/// The dead letters that were tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RedriveReport {
    /// Each with its outcome.
    pub redriven: Vec<RedrivenView>,
}

/// How many dead letters were forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurgeReport {
    /// How many.
    pub purged: u64,
}
