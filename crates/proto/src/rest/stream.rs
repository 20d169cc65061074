//! The envelope of every stream: log lines, deployments.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One event of a stream. As `text/event-stream` a frame has the same `id`, `type` as its `event`, and the whole event as its
/// data; as `application/x-ndjson` an event is a line. The last one is `end` or `error`, whose data is a `Problem`. Types that a
/// client does not know are to be ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamEvent {
    /// Where the stream stands after it: send it as `Last-Event-ID` to go on there.
    #[schema(example = "42")]
    pub id: String,
    /// What it is: `log`, `step`, `state`, `position`, `heartbeat`, `end`, `error`; more may come.
    #[serde(rename = "type")]
    #[schema(example = "log")]
    pub kind: String,
    /// When it happened.
    pub at: String,
    /// What belongs to it, an object whose form follows from the type and the stream.
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
}

/// An event of a stream as `text/event-stream` frames it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamFrame {
    /// The event's `id`.
    pub id: Option<String>,
    /// The event's `type`.
    pub event: String,
    /// The whole event, a `StreamEvent` as JSON.
    pub data: String,
}

// === impl StreamEvent ===

impl StreamEvent {
    /// The type of the last event of a stream that has come to its end.
    pub const END: &str = "end";
    /// The type of the last event of a stream that ends with a problem.
    pub const ERROR: &str = "error";

    /// Whether no event follows.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.kind == Self::END || self.kind == Self::ERROR
    }
}
