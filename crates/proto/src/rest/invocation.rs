//! Calls as documents: for clients that show requests and answers rather than send them on.

use faas_types::{FunctionError, JsonText};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A request to a function. Of the three bodies one may be there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvocationRequest {
    /// The HTTP method; `POST` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 20, example = "GET")]
    pub method: Option<String>,
    /// The path below the function's URL; `/` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 8192, example = "/items")]
    pub path: Option<String>,
    /// The query, as a URL has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 8192, example = "limit=3")]
    pub query: Option<String>,
    /// The headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100)]
    pub headers: Vec<InvocationHeader>,
    /// The body as JSON, which the function gets with each of its digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub body: Option<JsonText>,
    /// The body as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_text: Option<String>,
    /// The body as bytes in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
    /// `sync` waits for the answer; `async` makes a background run and answers 202.
    #[serde(default)]
    pub mode: InvocationWait,
}

/// Whether a call's answer is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InvocationWait {
    /// The answer of the function.
    #[default]
    Sync,
    /// 202, once the run is stored.
    Async,
}

/// A header of a request or an answer. A name may be there several times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvocationHeader {
    /// Its name.
    #[schema(min_length = 1, max_length = 200, example = "accept")]
    pub name: String,
    /// Its value.
    #[schema(max_length = 8192, example = "application/json")]
    pub value: String,
}

/// What became of a call. Of the three bodies the first that fits is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InvocationView {
    /// The run.
    pub run_id: Option<String>,
    /// The number of the version that ran.
    pub version: Option<u32>,
    /// The status that the function chose, or that its error has at its URL.
    pub status: u16,
    /// The headers of the answer.
    pub headers: Vec<InvocationHeader>,
    /// The body where it is JSON.
    #[schema(value_type = Option<serde_json::Value>)]
    pub body: Option<JsonText>,
    /// The body where it is text.
    pub body_text: Option<String>,
    /// The body where it is neither, in base64.
    pub body_base64: Option<String>,
    /// What the function's code raised.
    pub error: Option<FunctionError>,
    /// The catalogue entry, where the function failed.
    pub code: Option<String>,
    /// How long the call took.
    pub duration_ms: Option<f64>,
    /// Whether an instance had to start.
    pub cold_start: Option<bool>,
}
