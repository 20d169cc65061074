//! How long a project's history is kept.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::merge_patch::given;

/// How long what ran is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RetentionView {
    /// Ended runs, from their acceptance: `30d`.
    pub runs: String,
    /// Bytes of the records of all runs together: `4GB`. The oldest that have ended go first.
    pub run_bytes: String,
    /// The results that runs answered with: `7d`.
    pub results: String,
    /// Log lines.
    pub logs: String,
    /// Bytes of all log lines together: `10GB`.
    pub log_bytes: String,
    /// Whether the project has settings of its own; else these are the server's.
    pub own: bool,
}

/// What to change: what is absent stays, `null` goes back to the server's value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRetention {
    /// Ended runs: `30d`, `12h`; at least `1h`, with a unit.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 40)]
    pub runs: Option<Option<String>>,
    /// Bytes of the records of all runs together: `500MB`, `4GB`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 40)]
    pub run_bytes: Option<Option<String>>,
    /// Results; at least `1h`, and at most what runs are kept.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 40)]
    pub results: Option<Option<String>>,
    /// Log lines; at least `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 40)]
    pub logs: Option<Option<String>>,
    /// Bytes of all log lines together: `500MB`, `10GB`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 40)]
    pub log_bytes: Option<Option<String>>,
    /// Answers what would hold and changes nothing.
    #[serde(default)]
    pub dry_run: bool,
}
