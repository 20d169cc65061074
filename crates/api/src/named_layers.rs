//! `/api/v1/layers`: layers that people name, in immutable versions.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use axum::response::IntoResponse;
use faas_engine::{KnownLayerName, KnownLayerVersion, NewLayer};
use faas_languages::Language;
use faas_preflight::AllowedSecret;
use faas_proto::rest::{LayerList, LayerVersionList, LayerVersionView, LayerView, Problem, PublishLayer, RemovedLayer};
use faas_types::{Fault, FunctionName, LayerName, LayerRef, LayerVersionRecord, RuntimeName, limits};
use faas_web::{Authorized, Created, HandlerError, Json, PathParams, QueryParams};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::blobs::bundle;
use crate::page::{self, Order, PageQuery};
use crate::state::ApiState;
use crate::views::author_view;

/// Heavy things that a list names of each layer.
const NAMED: usize = 3;
/// Secrets that may be allowed, as in a manifest.
const ALLOWED_MAX: usize = 64;

/// Which layers to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SearchedLayer {
    /// Only whose name holds this text.
    #[param(max_length = 200)]
    q: Option<String>,
}

/// Lists the named layers, by name.
#[utoipa::path(get, path = "/api/v1/layers", operation_id = "layers.list", tag = "layers", params(SearchedLayer, PageQuery), responses((status = 200, body = LayerList)))]
pub(crate) async fn list_named_layers(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    QueryParams(filter): QueryParams<SearchedLayer>,
    query: PageQuery,
) -> Result<Json<LayerList>, HandlerError> {
    let page = query.of("layers", caller.project, Order::Asc)?;
    let text = page::searched(filter.q.as_deref())?;
    let layers = state.engine.layers.list_named(caller.project).await?.into_iter();
    let found = layers.filter(|layer| page::is_found(text.as_deref(), &[layer.newest.name.as_str()]));
    Ok(Json(page.cut(found, |layer| layer.newest.name.to_string()).map(name_view)))
}

/// Shows a named layer: its newest version, and which functions stand on it.
#[utoipa::path(get, path = "/api/v1/layers/{layer}", operation_id = "layers.get", tag = "layers", params(("layer" = String, Path, description = "the layer's name")), responses(
    (status = 200, body = LayerView),
    (status = 404, description = "no such layer", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "not the name of a layer", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn get_layer(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(name): PathParams<String>,
) -> Result<Json<LayerView>, HandlerError> {
    Ok(Json(name_view(state.engine.layers.get_named(caller.project, &layer_name(&name)?).await?)))
}

/// Lists the versions of a named layer, newest first.
#[utoipa::path(get, path = "/api/v1/layers/{layer}/versions", operation_id = "layers.listVersions", tag = "layers", params(("layer" = String, Path, description = "the layer's name"), PageQuery), responses(
    (status = 200, body = LayerVersionList),
    (status = 404, description = "no such layer", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "not the name or number of a layer", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list_layer_versions(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(name): PathParams<String>,
    query: PageQuery,
) -> Result<Json<LayerVersionList>, HandlerError> {
    let name = layer_name(&name)?;
    let page = query.of("layer-versions", page::key([&caller.project.to_string(), name.as_str()]), Order::Desc)?;
    let versions = state.engine.layers.versions_of(caller.project, &name).await?;
    Ok(Json(page.cut(versions, |version| page::number(version.record.number.into())).map(version_view)))
}

/// Shows a version of a named layer, and which versions of functions stand on it.
#[utoipa::path(get, path = "/api/v1/layers/{layer}/versions/{number}", operation_id = "layers.getVersion", tag = "layers", params(
    ("layer" = String, Path, description = "the layer's name"),
    ("number" = String, Path, description = "a number, or `newest`"),
), responses(
    (status = 200, body = LayerVersionView),
    (status = 404, description = "no such version", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "not the name or number of a layer", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn get_layer_version(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams((name, version)): PathParams<(String, String)>,
) -> Result<Json<LayerVersionView>, HandlerError> {
    let layer = layer_ref(&name, &version)?;
    Ok(Json(version_view(state.engine.layers.get_version(caller.project, &layer).await?)))
}

/// Publishes a version of a named layer from uploaded files, and gives it the next number. It never changes.
#[utoipa::path(post, path = "/api/v1/layers/{layer}/versions", operation_id = "layers.publish", tag = "layers", params(("layer" = String, Path, description = "the layer's name")),
    request_body = PublishLayer, responses(
    (status = 201, body = LayerVersionView, headers(("Location" = String, description = "the path of what was made"))),
    (status = 409, description = "others publish it at the same time", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "files were not uploaded, or packages cannot be installed", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "too many layers, or versions of this one", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "the disk is full, or the server is stopping", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn publish_layer(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(name): PathParams<String>,
    Json(body): Json<PublishLayer>,
) -> Result<impl IntoResponse, HandlerError> {
    let PublishLayer { files, runtimes, install, note, allow_secrets } = body;
    if runtimes.len() > limits::LAYER_RUNTIMES_MAX {
        return Err(invalid(format!("runtimes: {} at the most", limits::LAYER_RUNTIMES_MAX)).into());
    }
    if allow_secrets.len() > ALLOWED_MAX {
        return Err(invalid(format!("allow_secrets: {ALLOWED_MAX} at the most")).into());
    }
    let allowed =
        |text: &String| text.parse::<AllowedSecret>().map_err(|error| invalid(format!("allow_secrets: {error}")));
    let new = NewLayer {
        name: layer_name(&name)?,
        runtimes: runtimes.iter().map(|text| runtime(text)).collect::<Result<BTreeSet<_>, _>>()?.into_iter().collect(),
        bundle: bundle(files)?,
        install,
        note,
        author: Some(caller.author()),
        allowed_secrets: allow_secrets.iter().map(allowed).collect::<Result<_, _>>()?,
    };
    let engine = state.engine.clone();
    // In a task of its own: a caller that goes away must not leave packages half installed.
    let published = tokio::spawn(async move { engine.layers.publish(caller.project, new).await });
    let record = published.await.map_err(|error| Fault::internal(format!("publishing broke off: {error}")))??;
    let location = format!("/api/v1/layers/{}/versions/{}", record.name, record.number);
    Ok(Created(location, version_view(KnownLayerVersion { record, used_by: BTreeMap::new() })))
}

/// Removes a version of a named layer that no version of a function stands on. Its number is not given again.
#[utoipa::path(delete, path = "/api/v1/layers/{layer}/versions/{number}", operation_id = "layers.deleteVersion", tag = "layers", params(
    ("layer" = String, Path, description = "the layer's name"),
    ("number" = String, Path, description = "a number"),
), responses(
    (status = 200, body = RemovedLayer),
    (status = 404, description = "no such version", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "versions of functions stand on it", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "not the name or number of a layer", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn remove_layer_version(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams((name, version)): PathParams<(String, String)>,
) -> Result<Json<RemovedLayer>, HandlerError> {
    let layer = layer_ref(&name, &version)?;
    if layer.version.is_none() {
        return Err(invalid("version: name the number of the version to remove".to_owned()).into());
    }
    Ok(Json(RemovedLayer { versions: state.engine.layers.remove_versions(caller.project, &layer).await? }))
}

/// Removes a named layer with all its versions, when no version of a function stands on any.
#[utoipa::path(delete, path = "/api/v1/layers/{layer}", operation_id = "layers.delete", tag = "layers", params(("layer" = String, Path, description = "the layer's name")), responses(
    (status = 200, body = RemovedLayer),
    (status = 404, description = "no such layer", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "versions of functions stand on it", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "not the name or number of a layer", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn remove_named_layer(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(name): PathParams<String>,
) -> Result<Json<RemovedLayer>, HandlerError> {
    let layer = LayerRef { name: layer_name(&name)?, version: None };
    Ok(Json(RemovedLayer { versions: state.engine.layers.remove_versions(caller.project, &layer).await? }))
}

fn invalid(message: String) -> Fault {
    Fault::of_field(message)
}

fn layer_name(text: &str) -> Result<LayerName, Fault> {
    text.parse().map_err(|error| invalid(format!("name: {error}")))
}

/// A version of a path: a number, or `newest`.
fn layer_ref(name: &str, version: &str) -> Result<LayerRef, Fault> {
    let name = layer_name(name)?;
    if version == "newest" {
        return Ok(LayerRef { name, version: None });
    }
    format!("{name}:{version}").parse().map_err(|error| invalid(format!("version: {error}")))
}

fn runtime(text: &str) -> Result<RuntimeName, Fault> {
    let name: RuntimeName = text.parse().map_err(|error| invalid(format!("runtimes: {error}")))?;
    Language::canonical(&name).ok_or_else(|| {
        invalid(format!("runtimes: `{name}` is not available in this release; it runs {}", Language::names()))
    })
}

fn name_view(layer: KnownLayerName) -> LayerView {
    let KnownLayerName { newest, versions, size, used_by } = layer;
    LayerView {
        name: newest.name.to_string(),
        newest: newest.number,
        versions: u32::try_from(versions).unwrap_or(u32::MAX),
        size,
        newest_size: newest.size,
        runtimes: newest.runtimes.iter().map(ToString::to_string).collect(),
        heaviest: newest.packages.into_iter().take(NAMED).collect(),
        used_by: used_by.iter().map(FunctionName::to_string).collect(),
        created_at: newest.created_at.to_string(),
    }
}

fn version_view(layer: KnownLayerVersion) -> LayerVersionView {
    let KnownLayerVersion { record, used_by } = layer;
    let LayerVersionRecord { name, number, bundle, runtimes, files, size, packages, note, author, created_at, arch: _ } =
        record;
    LayerVersionView {
        reference: format!("{name}:{number}"),
        name: name.to_string(),
        version: number,
        runtimes: runtimes.iter().map(ToString::to_string).collect(),
        digest: bundle.to_string(),
        files,
        size,
        heaviest: packages,
        used_by: used_by
            .into_iter()
            .map(|(name, versions)| (name.to_string(), versions.into_iter().collect()))
            .collect(),
        note,
        actor: author.as_ref().map(author_view),
        created_at: created_at.to_string(),
    }
}
