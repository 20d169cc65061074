//! What a caller sends.

use bytes::Bytes;
use faas_types::{RequestField, TriggerKind, TriggerName};

/// What a caller sends.
#[derive(Clone, Debug)]
pub struct CallRequest {
    /// What created the run.
    pub trigger: TriggerKind,
    /// The trigger's name, where it has one.
    pub trigger_name: Option<TriggerName>,
    /// The HTTP method.
    pub method: String,
    /// The path below the function's URL.
    pub path: String,
    /// The query without its question mark.
    pub query: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// Headers from outside without those that only we set.
pub fn foreign(headers: Vec<(String, String)>) -> Vec<(String, String)> {
    headers.into_iter().filter(|(name, _)| RequestField::of(name) != RequestField::Platform).collect()
}
