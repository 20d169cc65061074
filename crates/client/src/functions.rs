//! Functions and their versions.

use faas_proto::rest::{
    CreateFunction, DeploymentView, FunctionList, FunctionMetrics, FunctionView, PatchFunction, PurgedCache,
    RollbackRequest, VersionList,
};
use reqwest::Method;
use serde::Serialize;

use crate::client::segment;
use crate::{Client, ClientError, Rows};

/// Which functions to list. What is absent does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ListFunctions {
    /// Whose names hold this text.
    pub q: Option<String>,
    /// Those that are paused, or those that are not.
    pub paused: Option<bool>,
    /// What they are listed by; their names where absent.
    pub sort: Option<FunctionSort>,
}

/// What functions are listed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FunctionSort {
    /// From A on.
    Name,
    /// The newest first.
    CreatedAt,
}

// === impl Client ===

impl Client {
    /// Functions, by name where nothing else is asked for.
    ///
    /// # Errors
    /// See [`ClientError`]; so for every method here.
    pub async fn functions(&self, query: &ListFunctions, rows: &Rows) -> Result<FunctionList, ClientError> {
        self.rows("api/v1/functions", query, rows).await
    }

    /// Creates a function without code.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_function(&self, body: &CreateFunction) -> Result<FunctionView, ClientError> {
        self.send(Method::POST, "api/v1/functions", body).await
    }

    /// One function, by name or id.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn function(&self, name: &str) -> Result<FunctionView, ClientError> {
        self.get(&path(name, "")?, &()).await
    }

    /// Changes a function outside a deployment; what the body leaves out stays.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn patch_function(&self, name: &str, body: &PatchFunction) -> Result<FunctionView, ClientError> {
        self.send(Method::PATCH, &path(name, "")?, body).await
    }

    /// Deletes a function with its versions.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete_function(&self, name: &str) -> Result<(), ClientError> {
        self.done(self.request(Method::DELETE, &path(name, "")?)?).await
    }

    /// Forgets a function's kept answers.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn purge_cache(&self, name: &str) -> Result<PurgedCache, ClientError> {
        self.read(self.request(Method::DELETE, &path(name, "/cache")?)?).await
    }

    /// Versions of a function, newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn versions(&self, name: &str, rows: &Rows) -> Result<VersionList, ClientError> {
        self.rows(&path(name, "/versions")?, &(), rows).await
    }

    /// Moves `live` back.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rollback(&self, name: &str, body: &RollbackRequest) -> Result<DeploymentView, ClientError> {
        self.send(Method::POST, &path(name, "/rollback")?, body).await
    }

    /// How a function does.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn metrics(&self, name: &str) -> Result<FunctionMetrics, ClientError> {
        self.get(&path(name, "/metrics")?, &()).await
    }
}

/// A route of one function.
pub(crate) fn path(name: &str, rest: &str) -> Result<String, ClientError> {
    Ok(format!("api/v1/functions/{}{rest}", segment(name)?))
}
