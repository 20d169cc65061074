//! Callbacks.

use faas_proto::rest::{CallbackSecretView, NewCallbackSecret, RotateCallbackSecret};
use reqwest::Method;

use crate::{Client, ClientError};

const SECRET: &str = "api/v1/settings/callback-secret";

// === impl Client ===

impl Client {
    /// Tells of the secret that callbacks are signed with, without showing it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn callback_secret(&self) -> Result<CallbackSecretView, ClientError> {
        self.get(SECRET, &()).await
    }

    /// Makes a fresh secret to sign callbacks with. This is the only time that it is shown.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rotate_callback_secret(&self, body: &RotateCallbackSecret) -> Result<NewCallbackSecret, ClientError> {
        self.send(Method::POST, &format!("{SECRET}/rotate"), body).await
    }
}
