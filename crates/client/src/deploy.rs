//! Deployments: ask what is missing, upload only that, then deploy.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use faas_proto::rest::{BundleFileBody, DeployPlan, DeployPlanRequest, DeployRequest, DeploymentView};
use faas_types::{Span, limits};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method};
use tokio::io::AsyncReadExt;

use crate::client::segment;
use crate::functions::path;
use crate::{Client, ClientError};

const PARALLEL_UPLOADS: usize = 8;
const CHUNK: usize = 64 << 10;
/// The server installs packages and loads the entrypoint in a sandbox before it answers.
const DEPLOY_TIMEOUT: Duration =
    limits::INIT_TIMEOUT.saturating_add(limits::BUILD_TIME_MAX).saturating_add(Duration::from_secs(90));
/// The largest file over a slow line.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(600);

/// A file of this machine and what the bundle says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFile {
    /// Where it is here.
    pub local: PathBuf,
    /// What it is in the bundle.
    pub entry: BundleFileBody,
}

/// What a deployment may say besides manifest and files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeployOptions {
    /// What changed, for people.
    pub note: Option<String>,
    /// The alias that moves; `live` when absent.
    pub alias: Option<String>,
    /// Whether that alias is a preview.
    pub preview: bool,
    /// When the preview ends, counted from now.
    pub expires: Option<Span>,
}

// === impl Client ===

impl Client {
    /// Which blobs the server lacks for these files.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn plan(&self, function: &str, files: &[LocalFile]) -> Result<DeployPlan, ClientError> {
        let files = files.iter().map(|file| file.entry.clone()).collect();
        self.send(Method::POST, &path(function, "/deploy/plan")?, &DeployPlanRequest { files }).await
    }

    /// Uploads the blobs that a plan misses, each once and eight at a time. `sent` hears the bytes of every chunk.
    ///
    /// # Errors
    /// The first upload that failed; the others are dropped.
    pub async fn upload(
        &self,
        missing: &[String],
        files: &[LocalFile],
        sent: impl Fn(u64) + Clone + Send + Sync + 'static,
    ) -> Result<(), ClientError> {
        let by_digest: HashMap<&str, &LocalFile> =
            files.iter().map(|file| (file.entry.digest.as_str(), file)).collect();
        let mut wanted = Vec::with_capacity(missing.len());
        for digest in missing {
            let Some(file) = by_digest.get(digest.as_str()) else {
                return Err(self.protocol(format!("the plan asks for a blob {digest} that no file has")));
            };
            wanted.push(*file);
        }
        stream::iter(wanted)
            .map(|file| self.upload_one(file, sent.clone()))
            .buffer_unordered(PARALLEL_UPLOADS)
            .try_collect()
            .await
    }

    /// Seals a version from uploaded files and moves its alias to it. Makes the function when there is none.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn deploy(
        &self,
        function: &str,
        manifest: serde_json::Value,
        files: &[LocalFile],
        options: DeployOptions,
    ) -> Result<DeploymentView, ClientError> {
        let files = files.iter().map(|file| file.entry.clone()).collect();
        let DeployOptions { note, alias, preview, expires } = options;
        let expires = expires.map(|span| span.to_string());
        let body = DeployRequest { manifest, files, note, alias, preview, expires };
        let request = self.request(Method::POST, &path(function, "/deploy")?)?;
        self.read(request.timeout(DEPLOY_TIMEOUT).json(&body)).await
    }

    async fn upload_one(
        &self,
        file: &LocalFile,
        sent: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<(), ClientError> {
        let unreadable = |error| ClientError::File { path: file.local.clone(), error };
        let handle = tokio::fs::File::open(&file.local).await.map_err(unreadable)?;
        // One byte more than announced would break the framing; a file that grew meanwhile is told by the digest.
        let chunks = chunks(handle.take(file.entry.size)).inspect_ok(move |chunk| sent(chunk.len() as u64));
        let request = self
            .request(Method::PUT, &format!("api/v1/blobs/{}", segment(&file.entry.digest)?))?
            .timeout(UPLOAD_TIMEOUT)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, file.entry.size)
            .body(Body::wrap_stream(chunks));
        self.done(request).await
    }
}

fn chunks(reader: tokio::io::Take<tokio::fs::File>) -> impl stream::Stream<Item = std::io::Result<Bytes>> + Send {
    stream::try_unfold(reader, |mut reader| async move {
        let mut chunk = vec![0; CHUNK];
        let length = reader.read(&mut chunk).await?;
        chunk.truncate(length);
        Ok((length > 0).then(|| (Bytes::from(chunk), reader)))
    })
}
