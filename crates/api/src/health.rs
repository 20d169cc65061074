//! Whether the server lives, is ready, and how it does.

use axum::extract::State;
use faas_proto::rest::{FeatureView, HealthView, Problem, RuntimeView, SystemView};
use faas_web::{Authorized, HandlerError, Json};

use crate::state::ApiState;

/// Tells that the process lives.
#[utoipa::path(get, path = "/healthz", operation_id = "health.getLiveness", tag = "server", responses((status = 200, body = HealthView)))]
pub(crate) async fn live() -> Json<HealthView> {
    Json(HealthView { status: "ok".to_owned() })
}

/// Tells whether a proxy should send calls here.
#[utoipa::path(get, path = "/readyz", operation_id = "health.getReadiness", tag = "server", responses(
    (status = 200, body = HealthView),
    (
        status = 503,
        description = "starting or stopping, or a table in memory does not follow the registry",
        body = Problem,
        content_type = "application/problem+json"
    ),
))]
pub(crate) async fn ready(State(state): State<ApiState>) -> Result<Json<HealthView>, HandlerError> {
    state.engine.check_ready().map_err(HandlerError)?;
    Ok(Json(HealthView { status: "ok".to_owned() }))
}

/// Shows what the server runs on and how much it holds.
#[utoipa::path(get, path = "/api/v1/system", operation_id = "system.get", tag = "server", responses((status = 200, body = SystemView)))]
pub(crate) async fn status(State(state): State<ApiState>, Authorized(caller): Authorized) -> Json<SystemView> {
    let features = state.isolation.probes.iter().map(|probe| FeatureView {
        feature: serde_json::to_value(probe.feature)
            .ok()
            .and_then(|v| v.as_str().map(str::to_owned))
            .unwrap_or_default(),
        enforced: probe.enforced,
        detail: probe.detail.clone(),
        fix: probe.fix.clone(),
    });
    let runtimes = state.engine.launcher().runtimes();
    Json(SystemView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: state.started.elapsed().as_secs(),
        isolation: state.isolation.level.into(),
        features: features.collect(),
        runtimes: runtimes.into_iter().map(|r| RuntimeView { name: r.name.to_string(), exact: r.exact }).collect(),
        functions: state.engine.catalog().count(caller.project) as u64,
        instances: u64::from(state.engine.scheduler().instances()),
        dropped_run_records: state.engine.stats().dropped_records(),
    })
}
