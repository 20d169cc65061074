//! `/api/v1/package-layers`: installed packages, and who uses them.

use axum::extract::State;
use faas_engine::KnownLayer;
use faas_proto::rest::{PackageLayerList, PackageLayerView, Problem};
use faas_types::{Fault, LayerId, Reason};
use faas_web::{Authorized, HandlerError, Json, PathParams};
use http::StatusCode;

use crate::page::{self, Order, PageQuery};
use crate::state::ApiState;

/// Packages that a list names of each layer.
const NAMED: usize = 3;

/// Lists the layers of packages, the largest first.
#[utoipa::path(get, path = "/api/v1/package-layers", operation_id = "packageLayers.list", tag = "layers", params(PageQuery), responses((status = 200, body = PackageLayerList)))]
pub(crate) async fn list_layers(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    query: PageQuery,
) -> Result<Json<PackageLayerList>, HandlerError> {
    let page = query.of("package-layers", caller.project, Order::Desc)?;
    let known = state.engine.layers.list(caller.project).await?;
    let brief = |layer| {
        let mut view = view(layer);
        view.packages.truncate(NAMED);
        PackageLayerView { log: Vec::new(), ..view }
    };
    let by_size = |layer: &KnownLayer| page::key([&page::number(layer.record.size), &layer.record.id.to_string()]);
    Ok(Json(page.cut(known, by_size).map(brief)))
}

/// Shows a layer with all its packages and the end of what the installer wrote.
#[utoipa::path(get, path = "/api/v1/package-layers/{layer}", operation_id = "packageLayers.get", tag = "layers", params(("layer" = String, Path, description = "the layer's id")), responses(
    (status = 200, body = PackageLayerView),
    (status = 404, description = "no such layer", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn get_layer(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
) -> Result<Json<PackageLayerView>, HandlerError> {
    Ok(Json(view(state.engine.layers.get(caller.project, layer_id(&id)?).await?)))
}

/// Removes a layer that no version stands on. A deployment that asks for the same packages builds it anew.
#[utoipa::path(delete, path = "/api/v1/package-layers/{layer}", operation_id = "packageLayers.delete", tag = "layers", params(("layer" = String, Path, description = "the layer's id")), responses(
    (status = 204, description = "removed"),
    (status = 404, description = "no such layer", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "versions stand on it", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn remove_layer(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
) -> Result<StatusCode, HandlerError> {
    state.engine.layers.remove(caller.project, layer_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn layer_id(text: &str) -> Result<LayerId, Fault> {
    text.parse().map_err(|error: faas_types::InvalidId| {
        Fault::new(Reason::LayerNotFound, error.to_string())
            .with_command_hint("list the layers with `faas layers list`")
    })
}

fn view(layer: KnownLayer) -> PackageLayerView {
    let KnownLayer { record, used_by } = layer;
    PackageLayerView {
        id: record.id.to_string(),
        runtime: record.runtime.to_string(),
        source: record.source,
        files: record.files,
        size: record.size,
        package_count: u32::try_from(record.packages.len()).unwrap_or(u32::MAX),
        packages: record.packages,
        used_by: used_by
            .into_iter()
            .map(|(name, versions)| (name.to_string(), versions.into_iter().collect()))
            .collect(),
        built_at: record.built_at.to_string(),
        took_ms: record.took_ms,
        log: record.log,
    }
}
