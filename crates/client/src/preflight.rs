//! What uploads are refused for.

use std::time::Duration;

use faas_proto::rest::{PolicyView, SetPolicy};
use reqwest::Method;

use crate::{Client, ClientError};

const POLICY: &str = "api/v1/settings/upload-policy";

// === impl Client ===

impl Client {
    /// The rules that hold for uploads.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn preflight_policy(&self) -> Result<PolicyView, ClientError> {
        self.get(POLICY, &()).await
    }

    /// The same, without an answer when it takes longer than `patience`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn preflight_policy_within(&self, patience: Duration) -> Result<PolicyView, ClientError> {
        self.read(self.request(Method::GET, POLICY)?.timeout(patience)).await
    }

    /// Replaces the project's rules.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn set_preflight_policy(&self, body: &SetPolicy) -> Result<PolicyView, ClientError> {
        self.send(Method::PUT, POLICY, body).await
    }

    /// Leaves the project with the server's rules alone.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn reset_preflight_policy(&self) -> Result<(), ClientError> {
        self.done(self.request(Method::DELETE, POLICY)?).await
    }
}
