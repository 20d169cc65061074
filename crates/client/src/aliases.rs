//! Aliases, versions and rollouts of a function.

use faas_proto::rest::{
    AliasList, AliasView, DeploymentList, DeploymentView, EndRollout, RolloutView, SetAlias, VersionDiff, VersionView,
};
use reqwest::Method;

use crate::client::segment;
use crate::functions::path;
use crate::{Client, ClientError, Rows};

// === impl Client ===

impl Client {
    /// A function's aliases, by name.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn aliases(&self, function: &str, rows: &Rows) -> Result<AliasList, ClientError> {
        self.rows(&path(function, "/aliases")?, &(), rows).await
    }

    /// Points an alias to a version; creates the alias if it does not exist.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn set_alias(&self, function: &str, alias: &str, body: &SetAlias) -> Result<AliasView, ClientError> {
        self.send(Method::PUT, &path(function, &format!("/aliases/{}", segment(alias)?))?, body).await
    }

    /// Removes an alias.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn remove_alias(&self, function: &str, alias: &str) -> Result<(), ClientError> {
        let path = path(function, &format!("/aliases/{}", segment(alias)?))?;
        self.done(self.request(Method::DELETE, &path)?).await
    }

    /// One version.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn version(&self, function: &str, number: u32) -> Result<VersionView, ClientError> {
        self.get(&path(function, &format!("/versions/{number}"))?, &()).await
    }

    /// What two versions differ in.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn diff(&self, function: &str, from: u32, to: u32) -> Result<VersionDiff, ClientError> {
        self.get(&path(function, &format!("/versions/{to}/diff"))?, &[("against", from)]).await
    }

    /// What moved a function's aliases, newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn deployments(
        &self,
        function: &str,
        state: Option<&str>,
        rows: &Rows,
    ) -> Result<DeploymentList, ClientError> {
        self.rows(&path(function, "/deployments")?, &[("state", state)], rows).await
    }

    /// The version that is on its way to `live`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rollout(&self, function: &str) -> Result<RolloutView, ClientError> {
        self.get(&path(function, "/rollout")?, &()).await
    }

    /// Lets it take every call now.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn promote_rollout(&self, function: &str, body: &EndRollout) -> Result<DeploymentView, ClientError> {
        self.send(Method::POST, &path(function, "/rollout/promote")?, body).await
    }

    /// Gives it no more calls.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn abort_rollout(&self, function: &str, body: &EndRollout) -> Result<DeploymentView, ClientError> {
        self.send(Method::POST, &path(function, "/rollout/abort")?, body).await
    }
}
