//! `/api/v1/functions/{function}/cache`.

use axum::extract::State;
use faas_proto::rest::{Problem, PurgedCache};
use faas_web::{Authorized, HandlerError, Json, PathParams};

use crate::state::ApiState;

/// Forgets the kept answers of a function. The next requests run it again.
#[utoipa::path(delete, path = "/api/v1/functions/{function}/cache", operation_id = "cache.purge", tag = "functions", params(("function" = String, Path, description = "name or id")), responses(
    (status = 200, body = PurgedCache),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn purge_cache(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
) -> Result<Json<PurgedCache>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    Ok(Json(PurgedCache { purged: state.cache.purge(entry.record.id) as u64 }))
}
