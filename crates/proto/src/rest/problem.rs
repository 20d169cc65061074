//! What a failed request answers: a [`Problem`] of the platform or a [`FunctionFailure`] of the user's code.

use faas_types::FunctionError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A platform failure, `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Names the error's page: `/errors/FN_001`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A few words, the same for every occurrence.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here.
    pub detail: String,
    /// The catalogue entry, such as `FN_001`.
    pub code: String,
    /// The request, as in the `X-Request-Id` header.
    pub request_id: String,
    /// The run, where one was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// Whether the same request may succeed when sent again.
    pub retryable: bool,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// How to read more.
    pub docs: String,
    /// The error inside the user's code, where that made a deployment fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function_error: Option<FunctionError>,
}

/// A function's own failure, `application/json` with the header `X-Error-Source: function`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FunctionFailure {
    /// What was raised.
    #[serde(flatten)]
    pub error: FunctionError,
    /// Always `FN_004`.
    pub code: String,
    /// The run.
    pub run_id: String,
}
