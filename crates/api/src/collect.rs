//! `/api/v1/system/gc`.

use std::time::Instant;

use axum::extract::State;
use faas_proto::rest::{GcReportView, GcRequest, Problem};
use faas_types::{Fault, Span};
use faas_web::{Authorized, HandlerError, Json};

use crate::state::ApiState;

/// Removes the files and records of all projects that nothing needs any more, or tells what would go.
///
/// The server does so by itself from time to time. What was uploaded or asked for within the grace stays.
#[utoipa::path(post, path = "/api/v1/system/gc", operation_id = "system.collectGarbage", tag = "server", request_body = GcRequest, responses(
    (status = 200, body = GcReportView),
    (status = 409, description = "a collection is under way", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn collect(
    State(state): State<ApiState>,
    Authorized(_): Authorized,
    Json(body): Json<GcRequest>,
) -> Result<Json<GcReportView>, HandlerError> {
    let (began, engine) = (Instant::now(), state.engine.clone());
    // In a task of its own: a caller that goes away ends nothing halfway.
    let found = tokio::spawn(async move { engine.gc.collect(body.dry_run, body.now).await }).await;
    let found = found.map_err(|error| Fault::internal(format!("the collection broke off: {error}")))??;
    let grace = u64::try_from(state.engine.gc.policy().grace.as_millis()).unwrap_or(u64::MAX);
    Ok(Json(GcReportView {
        dry_run: body.dry_run,
        blobs: found.blobs,
        blob_bytes: found.blob_bytes,
        layers: found.layers,
        layer_bytes: found.layer_bytes,
        records: found.records,
        needed: found.needed,
        young: found.young,
        grace: if body.now { "0ms".to_owned() } else { Span::from_millis(grace).to_string() },
        took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    }))
}
