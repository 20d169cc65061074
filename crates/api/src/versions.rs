//! `/api/v1/functions/{function}/versions`.

use axum::extract::State;
use faas_engine::{FileChangeKind, VersionWalk};
use faas_proto::rest::{FileChangeView, Problem, VersionDiff, VersionList, VersionView};
use faas_web::{Authorized, HandlerError, Json, PathParams, QueryParams};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::manifest::{changed_settings, version_rows};
use crate::page::{Order, PageQuery};
use crate::state::ApiState;
use crate::views::version_view;

/// Lists a function's versions, newest first.
#[utoipa::path(get, path = "/api/v1/functions/{function}/versions", operation_id = "versions.list", tag = "functions", params(("function" = String, Path, description = "name or id"), PageQuery), responses(
    (status = 200, body = VersionList),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list_versions(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    query: PageQuery,
) -> Result<Json<VersionList>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let page = query.of("versions", entry.record.id, Order::Desc)?;
    let walk = VersionWalk { after: page.after()?, descends: page.descends(), limit: page.wanted() };
    let found = page.of_found(state.engine.deployments.versions(&entry, walk).await?, |one| one.number.to_string());
    Ok(Json(found.map(|version| version_view(&entry, &version))))
}

/// Which version to compare with.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Comparison {
    /// The earlier version, as in a path: a number, an id (`ver_…`), or an alias.
    #[param(max_length = 80, example = "1")]
    against: String,
}

/// Shows a version.
#[utoipa::path(get, path = "/api/v1/functions/{function}/versions/{version}", operation_id = "versions.get", tag = "functions",
    params(("function" = String, Path, description = "name or id"), ("version" = String, Path, description = "a number, an id (`ver_…`), or an alias")), responses(
    (status = 200, body = VersionView),
    (status = 404, description = "no such function or version", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn get_version(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams((id, version)): PathParams<(String, String)>,
) -> Result<Json<VersionView>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let version = state.engine.deployments.find_version(&entry, &version).await?;
    let manifest = version_rows(&entry.record.name, &version);
    Ok(Json(VersionView { manifest, ..version_view(&entry, &version) }))
}

/// Compares a version with another one: files, and keys of the manifest.
#[utoipa::path(get, path = "/api/v1/functions/{function}/versions/{version}/diff", operation_id = "versions.diff", tag = "functions",
    params(("function" = String, Path, description = "name or id"), ("version" = String, Path, description = "the later version: a number, an id (`ver_…`), or an alias"), Comparison), responses(
    (status = 200, body = VersionDiff),
    (status = 404, description = "no such function or version", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn diff_versions(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams((id, version)): PathParams<(String, String)>,
    QueryParams(comparison): QueryParams<Comparison>,
) -> Result<Json<VersionDiff>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let before = state.engine.deployments.find_version(&entry, &comparison.against).await?;
    let after = state.engine.deployments.find_version(&entry, &version).await?;
    let changes = state.engine.bundles().changed_files(&before, &after).await?;
    let files = changes.into_iter().map(|change| FileChangeView {
        path: change.path,
        change: match change.kind {
            FileChangeKind::Added => "added",
            FileChangeKind::Removed => "removed",
            FileChangeKind::Changed => "changed",
        }
        .to_owned(),
        size_from: change.size_from,
        size_to: change.size_to,
    });
    let files = files.collect();
    let settings = changed_settings(&before, &after);
    let function = entry.record.name.to_string();
    Ok(Json(VersionDiff { function, from: before.number, to: after.number, files, settings }))
}
