//! Vars of a function.

use faas_proto::rest::{SetVars, VarList};
use reqwest::Method;

use crate::client::segment;
use crate::functions::path;
use crate::{Client, ClientError};

// === impl Client ===

impl Client {
    /// The vars that the live version sees.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn vars(&self, function: &str) -> Result<VarList, ClientError> {
        self.get(&path(function, "/env")?, &()).await
    }

    /// Sets vars; others stay.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn set_vars(&self, function: &str, body: &SetVars) -> Result<VarList, ClientError> {
        self.send(Method::POST, &path(function, "/env")?, body).await
    }

    /// Removes a var that the API had set.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn unset_var(&self, function: &str, key: &str) -> Result<(), ClientError> {
        let path = format!("{}/{}", path(function, "/env")?, segment(key)?);
        self.done(self.request(Method::DELETE, &path)?).await
    }
}
