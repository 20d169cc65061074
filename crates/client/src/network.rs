//! What functions may connect to.

use faas_proto::rest::{NetworkTestView, NetworkView, TestNetwork, UpdateNetwork};
use reqwest::Method;

use crate::functions::path;
use crate::{Client, ClientError};

// === impl Client ===

impl Client {
    /// What a function may connect to.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn network(&self, function: &str) -> Result<NetworkView, ClientError> {
        self.get(&path(function, "/network")?, &()).await
    }

    /// Changes that without a deployment.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn update_network(&self, function: &str, body: &UpdateNetwork) -> Result<NetworkView, ClientError> {
        self.send(Method::PATCH, &path(function, "/network")?, body).await
    }

    /// Gives a function back what its manifests say.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn reset_network(&self, function: &str) -> Result<(), ClientError> {
        self.done(self.request(Method::DELETE, &path(function, "/network")?)?).await
    }

    /// Tries a connection as one of the function's instances would make it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn test_network(&self, function: &str, body: &TestNetwork) -> Result<NetworkTestView, ClientError> {
        self.send(Method::POST, &path(function, "/network/test")?, body).await
    }
}
