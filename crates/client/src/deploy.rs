//! Deployments: ask what is missing, upload only that, then deploy and follow.

use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use faas_proto::rest::{
    BuildLogView, BundleFileBody, CheckBlobs, DeployGroupRequest, DeployRequest, DeploymentGroupList,
    DeploymentGroupView, DeploymentView, FunctionToDeploy, MissingBlobs, RollbackGroupRequest, StreamEvent,
    VersionFiles,
};
use faas_types::{DeploymentState, Span, limits};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method, RequestBuilder};
use serde::de::DeserializeOwned;
use tokio::io::AsyncReadExt;

use crate::client::segment;
use crate::functions::path;
use crate::stream::EventFollower;
use crate::{Client, ClientError, Rows};

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

/// Follows a deployment, or a group, to its end.
#[derive(Debug)]
pub struct DeploymentFollower<T> {
    events: EventFollower,
    ends_with: PhantomData<T>,
}

/// How long one request waits for the end of a deployment.
const WAIT: Duration = Duration::from_secs(60);
/// What its answer may take beyond that.
const WAIT_SLACK: Duration = Duration::from_secs(30);
const GROUPS: &str = "api/v1/deployment-groups";

// === impl Client ===

impl Client {
    /// Which blobs the server lacks for these files, of a deployment or a layer.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn check_blobs(&self, files: &[LocalFile]) -> Result<MissingBlobs, ClientError> {
        let files = files.iter().map(|file| file.entry.clone()).collect();
        self.send(Method::POST, "api/v1/blobs/check", &CheckBlobs { files }).await
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

    /// Asks the server to seal a version from uploaded files and to move its alias to it. Creates the function if it does not
    /// exist. The deployment goes on by itself.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn start_deployment(
        &self,
        function: &str,
        manifest: ManifestBody,
        files: &[LocalFile],
        options: DeployOptions,
    ) -> Result<DeploymentView, ClientError> {
        self.read(self.deployment_request(function, manifest, files, options)?).await
    }

    fn deployment_request(
        &self,
        function: &str,
        manifest: ManifestBody,
        files: &[LocalFile],
        options: DeployOptions,
    ) -> Result<RequestBuilder, ClientError> {
        let request = self.request(Method::POST, &path(function, "/deployments")?)?;
        Ok(request.json(&deploy_request(manifest, files, options)))
    }

    /// The same, and waits for the end with one request; follows the deployment where that takes long.
    ///
    /// # Errors
    /// See [`ClientError`]; why the deployment failed.
    pub async fn deploy(
        &self,
        function: &str,
        manifest: ManifestBody,
        files: &[LocalFile],
        options: DeployOptions,
    ) -> Result<DeploymentView, ClientError> {
        let request = self.deployment_request(function, manifest, files, options)?;
        let request = request.timeout(WAIT + WAIT_SLACK).header("prefer", format!("wait={}", WAIT.as_secs()));
        let deployment: DeploymentView = self.read(request).await?;
        if deployment.state == DeploymentState::Succeeded {
            return Ok(deployment);
        }
        self.follow_deployment(&deployment.id).await?.outcome(|_| {}).await
    }

    /// Asks the server to deploy a group of functions in one commit. The deployment goes on by itself.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn start_group(
        &self,
        functions: Vec<FunctionToDeploy>,
        note: Option<String>,
    ) -> Result<DeploymentGroupView, ClientError> {
        self.send(Method::POST, GROUPS, &DeployGroupRequest { functions, note }).await
    }

    /// A deployment.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn deployment(&self, id: &str) -> Result<DeploymentView, ClientError> {
        self.get(&deployment_path(id, "")?, &()).await
    }

    /// A deployment group.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn group(&self, id: &str) -> Result<DeploymentGroupView, ClientError> {
        self.get(&deployment_path(id, "")?, &()).await
    }

    /// The deployment groups, newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn groups(&self, rows: &Rows) -> Result<DeploymentGroupList, ClientError> {
        self.rows(GROUPS, &(), rows).await
    }

    /// Follows a deployment to its end, wherever it is, and opens the stream again where it breaks.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn follow_deployment(&self, id: &str) -> Result<DeploymentFollower<DeploymentView>, ClientError> {
        Ok(DeploymentFollower {
            events: self.follow(deployment_path(id, "/events")?, &()).await?,
            ends_with: PhantomData,
        })
    }

    /// Follows a deployment group to its end.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn follow_group(&self, id: &str) -> Result<DeploymentFollower<DeploymentGroupView>, ClientError> {
        Ok(DeploymentFollower {
            events: self.follow(deployment_path(id, "/events")?, &()).await?,
            ends_with: PhantomData,
        })
    }

    /// Cancels a deployment that has not been committed.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn cancel_deployment(&self, id: &str) -> Result<DeploymentView, ClientError> {
        self.read(self.request(Method::POST, &deployment_path(id, "/cancel")?)?).await
    }

    /// Cancels a group that has not been committed.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn cancel_group(&self, id: &str) -> Result<DeploymentGroupView, ClientError> {
        self.read(self.request(Method::POST, &deployment_path(id, "/cancel")?)?).await
    }

    /// Rolls a deployment group back.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rollback_group(&self, id: &str, note: Option<String>) -> Result<DeploymentGroupView, ClientError> {
        self.send(Method::POST, &deployment_path(id, "/rollback")?, &RollbackGroupRequest { note }).await
    }

    /// The files of a version: a number, or `live`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn version_files(&self, function: &str, version: &str, rows: &Rows) -> Result<VersionFiles, ClientError> {
        self.rows(&path(function, &format!("/versions/{}/files", segment(version)?))?, &(), rows).await
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

// === impl DeploymentFollower ===

impl<T: DeserializeOwned> DeploymentFollower<T> {
    /// Waits for the next event; the last one is `end`, `None` follows.
    ///
    /// # Errors
    /// Why the deployment failed or was cancelled; when the server stays away, or refuses.
    pub async fn next(&mut self) -> Result<Option<StreamEvent>, ClientError> {
        self.events.next().await
    }

    /// Follows to the end. `told` is called with each event, the last one too.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub async fn outcome(mut self, mut told: impl FnMut(&StreamEvent)) -> Result<T, ClientError> {
        while let Some(event) = self.next().await? {
            told(&event);
            if event.kind == StreamEvent::END {
                return serde_json::from_value(event.data)
                    .map_err(|error| ClientError::InvalidArgument(format!("the outcome does not fit: {error}")));
            }
        }
        Err(ClientError::InvalidArgument("the events ended before the deployment did".to_owned()))
    }
}

fn deploy_request(manifest: ManifestBody, files: &[LocalFile], options: DeployOptions) -> DeployRequest {
    let files = files.iter().map(|file| file.entry.clone()).collect();
    let DeployOptions { note, alias, preview, expires } = options;
    let expires = expires.map(|span| span.to_string());
    let ManifestBody { manifest, origins } = manifest;
    DeployRequest { manifest, origins, files, note, alias, preview, expires }
}

/// The path of a deployment, or of a group, which its id tells.
fn deployment_path(id: &str, rest: &str) -> Result<String, ClientError> {
    let collection = if id.starts_with("dgr_") { GROUPS } else { "api/v1/deployments" };
    Ok(format!("{collection}/{}{rest}", segment(id)?))
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
