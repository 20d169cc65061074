//! Secrets: written, never read.

use faas_proto::rest::{EncryptionKeyReport, RestoreSecret, SecretList, SecretView, SetSecret};
use faas_types::Stage;
use reqwest::Method;

use crate::client::segment;
use crate::vars::of;
use crate::{Client, ClientError, Rows};

// === impl Client ===

impl Client {
    /// The secrets that a stage sees, or those of every stage.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn secrets(&self, stage: Option<Stage>, rows: &Rows) -> Result<SecretList, ClientError> {
        self.rows("api/v1/secrets", &[("stage", stage.map(Stage::as_str))], rows).await
    }

    /// One secret with its versions.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn secret(&self, stage: Stage, name: &str) -> Result<SecretView, ClientError> {
        self.get(&place(name, "")?, &of(stage)).await
    }

    /// Gives a secret another value, or makes it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn set_secret(&self, stage: Stage, name: &str, body: &SetSecret) -> Result<SecretView, ClientError> {
        self.read(self.request(Method::PUT, &place(name, "")?)?.query(&of(stage)).json(body)).await
    }

    /// Gives a secret an earlier value again.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn restore_secret(&self, stage: Stage, name: &str, version: u64) -> Result<SecretView, ClientError> {
        let request = self.request(Method::POST, &place(name, "/restore")?)?;
        self.read(request.query(&of(stage)).json(&RestoreSecret { version })).await
    }

    /// Forgets a secret with all its versions; with `force` also one that functions use.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn unset_secret(&self, stage: Stage, name: &str, force: bool) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, &place(name, "")?)?;
        self.done(request.query(&of(stage)).query(&[("force", force)])).await
    }

    /// Makes a new encryption key and seals everything anew under it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rekey(&self) -> Result<EncryptionKeyReport, ClientError> {
        // Goes over every secret of the server, each with a write of its own.
        let request = self.request(Method::POST, "api/v1/system/encryption-key/rotate")?;
        self.read(request.timeout(std::time::Duration::from_secs(3_600))).await
    }
}

fn place(name: &str, rest: &str) -> Result<String, ClientError> {
    Ok(format!("api/v1/secrets/{}{rest}", segment(name)?))
}
