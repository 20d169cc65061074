//! Deployments: ask what is missing, upload only that, then deploy.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use faas_proto::rest::{
    BuildLogView, BundleFileBody, DeployEvent, DeployGroupRequest, DeployPlan, DeployPlanRequest, DeployRequest,
    DeploymentGroupView, DeploymentView, FunctionToDeploy, Problem, RollbackGroupRequest, VersionFiles,
};
use faas_types::{Span, limits};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method, RequestBuilder};
use serde::de::DeserializeOwned;
use tokio::io::AsyncReadExt;

use crate::client::segment;
use crate::functions::path;
use crate::sse::EventParser;
use crate::{Client, ClientError};

const PARALLEL_UPLOADS: usize = 8;
const CHUNK: usize = 64 << 10;
/// The server installs packages and loads the entrypoint in a sandbox before it answers.
pub(crate) const DEPLOY_TIMEOUT: Duration =
    limits::INIT_TIMEOUT.saturating_add(limits::BUILD_TIME_MAX).saturating_add(Duration::from_secs(90));
/// The largest file over a slow line.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(600);

/// Pauses before a blob is sent again whose upload was cut: long enough together for a server to start anew.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// How an upload goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadStep {
    /// So many bytes were sent.
    Sent(u64),
    /// A blob's upload was cut after this many bytes, and begins again.
    Again(u64),
}

/// A file of this machine and what the bundle says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFile {
    /// Where it is here.
    pub local: PathBuf,
    /// What it is in the bundle.
    pub entry: BundleFileBody,
}

/// A manifest as JSON, and where its keys came from.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestBody {
    /// The same keys as `faas.toml`.
    pub manifest: serde_json::Value,
    /// Origins by key; without them every key counts as the request's.
    pub origins: Option<BTreeMap<String, String>>,
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

    /// Uploads the blobs that a plan misses, eight at a time. A blob whose upload is cut is sent again, those that arrived
    /// are not. `told` is called for every chunk.
    ///
    /// # Errors
    /// The first upload that failed for good; the others are dropped.
    pub async fn upload(
        &self,
        missing: &[String],
        files: &[LocalFile],
        told: impl Fn(UploadStep) + Clone + Send + Sync + 'static,
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
            .map(|file| self.upload_one(file, told.clone()))
            .buffer_unordered(PARALLEL_UPLOADS)
            .try_collect()
            .await
    }

    /// Seals a version from uploaded files and moves its alias to it. Creates the function if it does not exist. `told` is
    /// called with what happens on the way.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn deploy(
        &self,
        function: &str,
        manifest: ManifestBody,
        files: &[LocalFile],
        options: DeployOptions,
        told: impl FnMut(DeployEvent),
    ) -> Result<DeploymentView, ClientError> {
        let files = files.iter().map(|file| file.entry.clone()).collect();
        let DeployOptions { note, alias, preview, expires } = options;
        let expires = expires.map(|span| span.to_string());
        let ManifestBody { manifest, origins } = manifest;
        let body = DeployRequest { manifest, origins, files, note, alias, preview, expires };
        let request = self.request(Method::POST, &path(function, "/deployments")?)?;
        self.read_told(request.timeout(DEPLOY_TIMEOUT).json(&body), told).await
    }

    /// Deploys a group of functions in one commit. `told` is called with each progress event.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn deploy_group(
        &self,
        functions: Vec<FunctionToDeploy>,
        note: Option<String>,
        told: impl FnMut(DeployEvent),
    ) -> Result<DeploymentGroupView, ClientError> {
        // Each is loaded in a sandbox, one after the other.
        let patience = DEPLOY_TIMEOUT.saturating_mul(u32::try_from(functions.len()).unwrap_or(u32::MAX));
        let body = DeployGroupRequest { functions, note };
        let request = self.request(Method::POST, "api/v1/deployment-groups")?;
        self.read_told(request.timeout(patience).json(&body), told).await
    }

    /// Rolls a deployment group back.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rollback_group(&self, id: &str, note: Option<String>) -> Result<DeploymentGroupView, ClientError> {
        let path = format!("api/v1/deployment-groups/{}/rollback", segment(id)?);
        self.send(Method::POST, &path, &RollbackGroupRequest { note }).await
    }

    /// The files of a version: a number, or `live`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn version_files(&self, function: &str, version: &str) -> Result<VersionFiles, ClientError> {
        self.get(&path(function, &format!("/versions/{}/files", segment(version)?))?, &()).await
    }

    /// One file of a version.
    ///
    /// # Errors
    /// See [`ClientError`]; a file of more than 64 MB is too large for an answer.
    pub async fn version_file(&self, function: &str, version: &str, file: &str) -> Result<Vec<u8>, ClientError> {
        let route = path(function, &format!("/versions/{}/file", segment(version)?))?;
        let response = self.accept(self.request(Method::GET, &route)?.query(&[("path", file)])).await?;
        self.body(response).await
    }

    /// What a version wrote while it was checked.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn build_log(&self, function: &str, version: &str) -> Result<BuildLogView, ClientError> {
        self.get(&path(function, &format!("/versions/{}/log", segment(version)?))?, &()).await
    }

    /// Reads the progress events of a deployment and its outcome. A server that sends no events answers with the outcome
    /// alone.
    async fn read_told<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        mut told: impl FnMut(DeployEvent),
    ) -> Result<T, ClientError> {
        let unfit = |error: serde_json::Error| self.protocol(format!("the outcome does not fit: {error}"));
        let mut response = self.accept(request.header(ACCEPT, "text/event-stream, application/json")).await?;
        if Self::media_type(&response) != "text/event-stream" {
            return serde_json::from_slice(&self.body(response).await?).map_err(unfit);
        }
        let mut parser = EventParser::default();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport(&error))? {
            for event in parser.feed(&chunk).map_err(|reason| self.protocol(reason))? {
                match event.kind.as_str() {
                    // A step that this release does not know cannot be shown.
                    "step" => serde_json::from_str(&event.data).into_iter().for_each(&mut told),
                    "deployed" => return serde_json::from_str(&event.data).map_err(unfit),
                    "failed" => {
                        let problem: Problem = serde_json::from_str(&event.data).map_err(unfit)?;
                        return Err(ClientError::Api(Box::new(problem)));
                    }
                    _ => {}
                }
            }
        }
        Err(self.protocol("the answer ended before the deployment did; `faas versions list` shows whether it was made"))
    }

    async fn upload_one(
        &self,
        file: &LocalFile,
        told: impl Fn(UploadStep) + Clone + Send + Sync + 'static,
    ) -> Result<(), ClientError> {
        let sent = Arc::new(AtomicU64::new(0));
        let mut pauses = PAUSES.iter();
        loop {
            let (told, sent) = (told.clone(), Arc::clone(&sent));
            let count = {
                let (told, sent) = (told.clone(), Arc::clone(&sent));
                move |bytes| {
                    sent.fetch_add(bytes, Ordering::Relaxed);
                    told(UploadStep::Sent(bytes));
                }
            };
            match self.try_upload(file, count).await {
                Err(error) if may_pass(&error) => {
                    let Some(pause) = pauses.next() else { return Err(error) };
                    told(UploadStep::Again(sent.swap(0, Ordering::Relaxed)));
                    tokio::time::sleep(*pause).await;
                }
                other => return other,
            }
        }
    }

    async fn try_upload(
        &self,
        file: &LocalFile,
        sent: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<(), ClientError> {
        let unreadable = |error| ClientError::File { path: file.local.clone(), error };
        let handle = tokio::fs::File::open(&file.local).await.map_err(unreadable)?;
        // One byte more than announced would break the framing; the digest detects a file that grew meanwhile.
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

/// Whether the same upload may succeed when it is sent again: the line was cut, or the server asks for it.
fn may_pass(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } | ClientError::Timeout { .. } => true,
        ClientError::Api(problem) => problem.retry.safe && matches!(problem.status, 429 | 503),
        _ => false,
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
