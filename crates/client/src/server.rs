//! The server itself.

use std::time::Duration;

use faas_proto::rest::{GcReportView, GcRequest, HealthView, SystemView};
use reqwest::Method;

use crate::{Client, ClientError};

/// Every list of files is read, and every stored file looked at.
const COLLECT_TIMEOUT: Duration = Duration::from_secs(30 * 60);

// === impl Client ===

impl Client {
    /// What the server is and holds.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn status(&self) -> Result<SystemView, ClientError> {
        self.get("api/v1/system", &()).await
    }

    /// Removes the files and records that nothing needs any more, or tells what would go.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn collect(&self, dry_run: bool, now: bool) -> Result<GcReportView, ClientError> {
        let request = self.request(Method::POST, "api/v1/system/gc")?;
        self.read(request.timeout(COLLECT_TIMEOUT).json(&GcRequest { dry_run, now })).await
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
