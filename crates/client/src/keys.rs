//! API keys.

use faas_proto::rest::{CallerView, CreateKey, CreatedKey, KeyList, KeyView, UpdateKey};
use reqwest::Method;

use crate::client::segment;
use crate::{Client, ClientError, Rows};

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
    pub async fn keys(&self, rows: &Rows) -> Result<KeyList, ClientError> {
        self.rows("api/v1/keys", &(), rows).await
    }

    /// One key.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn key(&self, id: &str) -> Result<KeyView, ClientError> {
        self.get(&format!("api/v1/keys/{}", segment(id)?), &()).await
    }

    /// Makes a key. Its text is in this answer and nowhere else.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_key(&self, body: &CreateKey) -> Result<CreatedKey, ClientError> {
        self.send(Method::POST, "api/v1/keys", body).await
    }

    /// Changes a key.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn update_key(&self, id: &str, body: &UpdateKey) -> Result<KeyView, ClientError> {
        self.send(Method::PATCH, &format!("api/v1/keys/{}", segment(id)?), body).await
    }

    /// Revokes a key at once.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn revoke_key(&self, id: &str) -> Result<(), ClientError> {
        self.done(self.request(Method::DELETE, &format!("api/v1/keys/{}", segment(id)?))?).await
    }
}
