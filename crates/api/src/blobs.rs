//! `/api/v1/blobs`: the bytes of files, before they are deployed or published.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use faas_engine::Plan;
use faas_proto::rest::{BundleFileBody, CheckBlobs, MissingBlobs, Problem};
use faas_types::{Bundle, BundleFile, Digest, Fault, Reason, limits};
use faas_web::{Authorized, HandlerError, Json, PathParams, read_body};
use http::StatusCode;

use crate::state::ApiState;

/// Tells which files of a coming deployment or layer must be uploaded. A stored file whose bytes are damaged counts as missing.
#[utoipa::path(post, path = "/api/v1/blobs/check", operation_id = "blobs.check", tag = "deployments",
    request_body = CheckBlobs, responses(
    (status = 200, body = MissingBlobs),
    (status = 422, description = "a file is refused by its name or size", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn check_blobs(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    Json(body): Json<CheckBlobs>,
) -> Result<Json<MissingBlobs>, HandlerError> {
    let Plan { missing, bytes_total, bytes_missing } =
        state.engine.uploads.check(caller.project, &bundle(body.files)?).await?;
    let missing = missing.iter().map(ToString::to_string).collect();
    Ok(Json(MissingBlobs { missing, total_bytes: bytes_total, missing_bytes: bytes_missing }))
}

/// Stores one file's bytes under their digest.
#[utoipa::path(put, path = "/api/v1/blobs/{digest}", operation_id = "blobs.put", tag = "deployments",
    params(("digest" = String, Path, description = "BLAKE3 of the body, 64 lowercase hexadecimal characters")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
    (status = 204, description = "stored"),
    (status = 503, description = "the disk is full, or the server is stopping", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn put_blob(
    State(state): State<ApiState>,
    Authorized(_): Authorized,
    PathParams(digest): PathParams<String>,
    request: Request<Body>,
) -> Result<StatusCode, HandlerError> {
    let wanted = parse_digest(&digest)?;
    let (parts, body) = request.into_parts();
    let bytes = read_body(&parts.headers, body, limits::BUNDLE_FILE_MAX).await?;
    let stored = state.engine.uploads.put(bytes, wanted).await;
    stored.map(|()| StatusCode::NO_CONTENT).map_err(HandlerError)
}

/// Tells whether the bytes of a file are stored, and whole.
#[utoipa::path(head, path = "/api/v1/blobs/{digest}", operation_id = "blobs.head", tag = "deployments",
    params(("digest" = String, Path, description = "BLAKE3 of the file, 64 lowercase hexadecimal characters")), responses(
    (status = 200, description = "stored"),
    (status = 404, description = "not stored, or damaged", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "no digest", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn head_blob(
    State(state): State<ApiState>,
    Authorized(_): Authorized,
    PathParams(digest): PathParams<String>,
) -> Result<Response, HandlerError> {
    let digest = parse_digest(&digest)?;
    if state.engine.uploads.has(digest).await? {
        return Ok(StatusCode::OK.into_response());
    }
    Err(HandlerError(Fault::new(Reason::NotFound, format!("the blob {digest} is not stored"))))
}

pub(crate) fn bundle(files: Vec<BundleFileBody>) -> Result<Bundle, Fault> {
    let file = |file: BundleFileBody| {
        let digest = parse_digest(&file.digest)?;
        Ok(BundleFile { path: file.path, digest, size: file.size, executable: file.executable })
    };
    Ok(Bundle { files: files.into_iter().map(file).collect::<Result<_, Fault>>()? })
}

fn parse_digest(text: &str) -> Result<Digest, Fault> {
    text.parse().map_err(|error| Fault::of_field(format!("digest: {error}")))
}
