//! What a reply's headers say of its call.

use reqwest::header::HeaderMap;

/// What the platform says of a call, in its headers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallMeta {
    /// The run.
    pub run_id: Option<String>,
    /// Milliseconds from acceptance to the end.
    pub duration_ms: Option<f64>,
    /// Whether an instance had to be started.
    pub cold_start: Option<bool>,
    /// The version that answered.
    pub version: Option<u32>,
}

// === impl CallMeta ===

impl CallMeta {
    pub(crate) fn from_headers(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            run_id: text("x-run-id").or_else(|| text("x-call-id")).map(str::to_owned),
            duration_ms: text("x-duration-ms").and_then(|text| text.parse().ok()),
            cold_start: text("x-cold-start").and_then(|text| text.parse().ok()),
            version: text("x-function-version").and_then(|text| text.parse().ok()),
        }
    }
}
