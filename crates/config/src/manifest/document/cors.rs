//! The written form of `[cors]`.

use faas_types::CorsSettings;
use schemars::JsonSchema;
use serde::Serialize;

use super::TextOrNumber;
use super::trigger::HttpMethodName;

/// Lets pages of other origins call the function from a browser.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub(super) struct CorsDocument {
    /// The pages that may call, such as "https://app.example"; "*" for all.
    #[schemars(length(min = 1, max = 64))]
    origins: Vec<String>,
    /// Methods that they may use; all when absent or empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, length(max = 64))]
    methods: Vec<HttpMethodName>,
    /// Request headers that they may send; those that they ask for when absent or empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, length(max = 64))]
    headers: Vec<String>,
    /// Headers of answers that scripts may read, besides those that the platform adds; "*" for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, length(max = 64))]
    expose_headers: Vec<String>,
    /// Whether browsers send cookies along; needs origins by name.
    #[schemars(default)]
    credentials: bool,
    /// How long browsers remember the answer: up to "24h".
    #[schemars(default = "cors_age")]
    max_age: TextOrNumber,
}

fn cors_age() -> TextOrNumber {
    TextOrNumber::Text(CorsSettings::MAX_AGE.to_string())
}

// === impl CorsDocument ===

impl From<&CorsSettings> for CorsDocument {
    fn from(settings: &CorsSettings) -> Self {
        Self {
            origins: settings.origins.iter().map(ToString::to_string).collect(),
            methods: settings.methods.iter().map(|method| (*method).into()).collect(),
            headers: settings.headers.clone(),
            expose_headers: settings.expose_headers.clone(),
            credentials: settings.credentials,
            max_age: TextOrNumber::Text(settings.max_age.to_string()),
        }
    }
}
