//! API keys.

use faas_proto::rest::{CallerView, CreateKey, CreatedKey, KeyList};
use reqwest::Method;

use crate::client::segment;
use crate::{Client, ClientError};

// === impl Client ===

impl Client {
    /// Whose key this client has.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn whoami(&self) -> Result<CallerView, ClientError> {
        self.get("api/v1/whoami", &()).await
    }

    /// Every key, newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn keys(&self) -> Result<KeyList, ClientError> {
        self.get("api/v1/keys", &()).await
    }

    /// Makes a key. Its text is in this answer and nowhere else.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_key(&self, body: &CreateKey) -> Result<CreatedKey, ClientError> {
        self.send(Method::POST, "api/v1/keys", body).await
    }

    /// Revokes a key at once.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn revoke_key(&self, id: &str) -> Result<(), ClientError> {
        self.done(self.request(Method::DELETE, &format!("api/v1/keys/{}", segment(id)?))?).await
    }
}
