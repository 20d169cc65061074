//! Layers that people name.

use faas_proto::rest::{LayerList, LayerVersionList, LayerVersionView, PublishLayer, RemovedLayer};
use faas_types::LayerRef;
use reqwest::Method;

use crate::client::segment;
use crate::deploy::DEPLOY_TIMEOUT;
use crate::{Client, ClientError, Rows};

// === impl Client ===

impl Client {
    /// The named layers of the project, by name.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn named_layers(&self, rows: &Rows) -> Result<LayerList, ClientError> {
        self.rows("api/v1/layers", &(), rows).await
    }

    /// The versions of a named layer, newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn layer_versions(&self, name: &str, rows: &Rows) -> Result<LayerVersionList, ClientError> {
        self.rows(&path(name, "/versions")?, &(), rows).await
    }

    /// A version of a named layer; the newest where the reference names none.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn layer_version(&self, layer: &LayerRef) -> Result<LayerVersionView, ClientError> {
        let version = layer.version.map_or_else(|| "newest".to_owned(), |number| number.to_string());
        self.get(&path(layer.name.as_str(), &format!("/versions/{version}"))?, &()).await
    }

    /// Publishes a version from uploaded files.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn publish_layer(&self, name: &str, layer: &PublishLayer) -> Result<LayerVersionView, ClientError> {
        let request = self.request(Method::POST, &path(name, "/versions")?)?;
        self.read(request.timeout(DEPLOY_TIMEOUT).json(layer)).await
    }

    /// Removes a version of a named layer, or all of them where the reference names none.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn remove_named_layer(&self, layer: &LayerRef) -> Result<RemovedLayer, ClientError> {
        let below = layer.version.map_or_else(String::new, |number| format!("/versions/{number}"));
        self.read(self.request(Method::DELETE, &path(layer.name.as_str(), &below)?)?).await
    }
}

fn path(name: &str, below: &str) -> Result<String, ClientError> {
    Ok(format!("api/v1/layers/{}{below}", segment(name)?))
}
