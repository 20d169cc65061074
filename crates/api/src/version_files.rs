//! What is kept of a version: its files and the log of its check.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use faas_proto::rest::{BuildLogView, BundleFileBody, Problem, VersionFiles};
use faas_types::{BundleFile, Fault, ProjectId, VersionRecord};
use faas_web::{Authorized, HandlerError, Json, PathParams, QueryParams, bytes_or_part};
use http::HeaderMap;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::page::{Order, PageQuery};
use crate::state::ApiState;
use crate::views::build_log_view;

/// Which file.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileQuery {
    /// Its path in the version.
    #[param(max_length = 512, example = "main.py")]
    path: String,
}

/// Lists the files of a version.
#[utoipa::path(get, path = "/api/v1/functions/{function}/versions/{version}/files", operation_id = "versions.listFiles", tag = "functions", params(
    ("function" = String, Path, description = "name or id"), ("version" = String, Path, description = "a number, an id (`ver_…`), or an alias"), PageQuery), responses(
    (status = 200, body = VersionFiles),
    (status = 404, description = "no such function or version", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn version_files(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams((id, version)): PathParams<(String, String)>,
    query: PageQuery,
) -> Result<Json<VersionFiles>, HandlerError> {
    let version = find(&state, caller.project, &id, &version).await?;
    let page = query.of("files", version.id, Order::Asc)?;
    let bundle = state.engine.bundles().listing(&version.bundle).await?;
    let body = |file: BundleFile| {
        let BundleFile { path, digest, size, executable } = file;
        BundleFileBody { path, digest: digest.to_string(), size, executable }
    };
    Ok(Json(page.cut(bundle.files, |file| file.path.clone()).map(body)))
}

/// Reads one file of a version, as it was uploaded. Takes `Range`, `If-Range` and `If-None-Match`.
#[utoipa::path(get, path = "/api/v1/functions/{function}/versions/{version}/file", operation_id = "versions.getFile", tag = "functions", params(
    ("function" = String, Path, description = "name or id"), ("version" = String, Path, description = "a number, an id (`ver_…`), or an alias"), FileQuery), responses(
    (status = 200, body = Vec<u8>, content_type = "application/octet-stream", headers(("ETag" = String, description = "of these bytes"), ("Accept-Ranges" = String, description = "`bytes`"))),
    (status = 206, description = "the part that `Range` asks for", body = Vec<u8>, content_type = "application/octet-stream", headers(("Content-Range" = String, description = "which part of how much"))),
    (status = 304, description = "the caller has these bytes"),
    (status = 416, description = "the file is shorter", headers(("Content-Range" = String, description = "how long it is"))),
    (status = 404, description = "no such function, version or file", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn version_file(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams((id, version)): PathParams<(String, String)>,
    QueryParams(query): QueryParams<FileQuery>,
    headers: HeaderMap,
) -> Result<Response, HandlerError> {
    let version = find(&state, caller.project, &id, &version).await?;
    let bytes = state.engine.bundles().version_file(&version, &query.path).await?;
    Ok(bytes_or_part(&headers, bytes))
}

/// Shows what a version wrote while it was checked.
#[utoipa::path(get, path = "/api/v1/functions/{function}/versions/{version}/log", operation_id = "versions.getBuildLog", tag = "functions", params(
    ("function" = String, Path, description = "name or id"), ("version" = String, Path, description = "a number, an id (`ver_…`), or an alias")), responses(
    (status = 200, body = BuildLogView),
    (status = 404, description = "no such function or version", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn build_log(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams((id, version)): PathParams<(String, String)>,
) -> Result<Json<BuildLogView>, HandlerError> {
    let version = find(&state, caller.project, &id, &version).await?;
    Ok(Json(build_log_view(&state.engine.bundles().build_log(&version).await?)))
}

async fn find(state: &ApiState, project: ProjectId, id: &str, version: &str) -> Result<Arc<VersionRecord>, Fault> {
    let entry = state.engine.catalog().find(project, id)?;
    state.engine.deployments.find_version(&entry, version).await
}
