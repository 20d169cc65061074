//! What a failed request answers: a [`Problem`], or the bare [`FunctionFailure`] of a function at its URL.

use faas_types::{Executed, FieldError, FunctionError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a request failed, `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The page of the error's code on this server.
    #[serde(rename = "type")]
    #[schema(format = "uri", example = "https://faas.example.com/errors/FN_013")]
    pub kind: String,
    /// A few words, the same for every occurrence of the code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here.
    pub detail: String,
    /// The catalogue entry, such as `FN_013`.
    pub code: String,
    /// Why, finer than the code: the word that programs decide by. New ones may come; what they do not know they treat by `code`.
    #[schema(value_type = String, example = "run_not_found")]
    pub reason: String,
    /// The fields of the body that are wrong, each with what is wrong with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Whether to send the request again.
    pub retry: RetryView,
    /// The request, as in the `X-Request-Id` header.
    pub request_id: String,
    /// The run, where one was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// What to do next, for callers of the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What to do next, as a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cli_hint: Option<String>,
    /// The page of the reason on this server.
    #[schema(format = "uri", example = "https://faas.example.com/errors/run_not_found")]
    pub docs_url: String,
    /// The error of the function's own code, where that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function_error: Option<FunctionError>,
}

/// Whether the same request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RetryView {
    /// Whether a program may send the same request again by itself: it may succeed, and nothing is done twice.
    pub safe: bool,
    /// After how many milliseconds it may succeed; absent where the same request fails again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
    /// Whether what was asked for was done or begun: a request whose work may be done twice can be sent again even then.
    pub executed: Executed,
}

/// A function's own failure at its URL, `application/json` with the header `X-Error-Source: function`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FunctionFailure {
    /// What was raised.
    #[serde(flatten)]
    pub error: FunctionError,
    /// The catalogue entry, mostly `FN_004`.
    pub code: String,
    /// The run.
    pub run_id: String,
}
