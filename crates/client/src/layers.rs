//! Layers of installed packages.

use faas_proto::rest::{PackageLayerList, PackageLayerView};
use reqwest::Method;

use crate::client::segment;
use crate::{Client, ClientError, Rows};

// === impl Client ===

impl Client {
    /// The layers of the project, the largest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn layers(&self, rows: &Rows) -> Result<PackageLayerList, ClientError> {
        self.rows("api/v1/package-layers", &(), rows).await
    }

    /// A layer with all its packages.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn layer(&self, id: &str) -> Result<PackageLayerView, ClientError> {
        self.get(&path(id)?, &()).await
    }

    /// Removes a layer that no version stands on.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn remove_layer(&self, id: &str) -> Result<(), ClientError> {
        self.done(self.request(Method::DELETE, &path(id)?)?).await
    }
}

fn path(id: &str) -> Result<String, ClientError> {
    Ok(format!("api/v1/package-layers/{}", segment(id)?))
}
