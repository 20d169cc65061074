//! The server itself.

use faas_proto::rest::{HealthView, StatusView};

use crate::{Client, ClientError};

// === impl Client ===

impl Client {
    /// What the server is and holds.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn status(&self) -> Result<StatusView, ClientError> {
        self.get("api/v1/status", &()).await
    }

    /// Whether the server lives; needs no key.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn health(&self) -> Result<HealthView, ClientError> {
        self.get("healthz", &()).await
    }

    /// Whether the server takes calls; needs no key.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn readiness(&self) -> Result<HealthView, ClientError> {
        self.get("readyz", &()).await
    }

    /// The server's OpenAPI document; needs no key.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn openapi(&self) -> Result<serde_json::Value, ClientError> {
        self.get("openapi.json", &()).await
    }
}
