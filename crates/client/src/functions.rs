//! Functions and their versions.

use faas_proto::rest::{
    CreateFunction, DeploymentView, FunctionList, FunctionMetrics, FunctionView, PurgedCache, RollbackRequest,
    UpdateFunction, VersionList,
};
use reqwest::Method;

use crate::client::segment;
use crate::{Client, ClientError};

/// The query of a page of a history.
pub(crate) fn cursor(next: Option<&str>) -> Vec<(&'static str, &str)> {
    next.map(|next| ("cursor", next)).into_iter().collect()
}

// === impl Client ===

impl Client {
    /// One page of functions, by name. Pass `next` of the last page as `cursor`.
    ///
    /// # Errors
    /// See [`ClientError`]; so for every method here.
    pub async fn functions(&self, cursor: Option<&str>, limit: Option<u32>) -> Result<FunctionList, ClientError> {
        self.get("api/v1/functions", &[("cursor", cursor.map(str::to_owned)), ("limit", limit.map(|n| n.to_string()))])
            .await
    }

    /// Every function, page by page.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn all_functions(&self) -> Result<Vec<FunctionView>, ClientError> {
        let mut all = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = self.functions(cursor.as_deref(), Some(faas_types::limits::PAGE_MAX)).await?;
            // A page without rows ends the walk, whatever its cursor says.
            let ended = page.next.is_none() || page.functions.is_empty();
            all.extend(page.functions);
            if ended {
                return Ok(all);
            }
            cursor = page.next;
        }
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

    /// Changes a function outside a deployment.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn update_function(&self, name: &str, body: &UpdateFunction) -> Result<FunctionView, ClientError> {
        self.send(Method::PUT, &path(name, "")?, body).await
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

    /// All versions of a function, newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn versions(&self, name: &str) -> Result<VersionList, ClientError> {
        let mut whole = VersionList { versions: Vec::new(), next: None };
        loop {
            let page: VersionList = self.get(&path(name, "/versions")?, &cursor(whole.next.as_deref())).await?;
            let ended = page.next.is_none() || page.versions.is_empty();
            whole.versions.extend(page.versions);
            whole.next = page.next.filter(|_| !ended);
            if ended {
                return Ok(whole);
            }
        }
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
