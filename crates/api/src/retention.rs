//! `/api/v1/retention`.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::State;
use faas_proto::rest::{Problem, RetentionView, SetRetention};
use faas_types::{Code, Fault, Retention};
use faas_web::{Authorized, Failure, Json};
use http::StatusCode;

use crate::state::ApiState;

/// Shows how long the project's runs, results and log lines are kept.
#[utoipa::path(get, path = "/api/v1/retention", tag = "retention", responses((status = 200, body = RetentionView)))]
pub(crate) async fn get_retention(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
) -> Result<Json<RetentionView>, Failure> {
    let (retention, own) = state.engine.retention(caller.project).await?;
    Ok(Json(view(&retention, own)))
}

/// Changes how long they are kept. What has expired by that goes soon, and does not come back.
#[utoipa::path(patch, path = "/api/v1/retention", tag = "retention", request_body = SetRetention, responses(
    (status = 200, body = RetentionView),
    (status = 422, description = "a value out of its bounds", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn set_retention(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    Json(body): Json<SetRetention>,
) -> Result<Json<RetentionView>, Failure> {
    let (mut retention, _) = state.engine.retention(caller.project).await?;
    set(&mut retention.runs, "runs", body.runs.as_deref())?;
    // Who only says how long runs are kept has not asked for results that outlive them.
    retention.results = retention.results.min(retention.runs);
    set(&mut retention.results, "results", body.results.as_deref())?;
    set(&mut retention.logs, "logs", body.logs.as_deref())?;
    set(&mut retention.log_bytes, "log_bytes", body.log_bytes.as_deref())?;
    state.engine.set_retention(caller.project, Some(retention)).await?;
    Ok(Json(view(&retention, true)))
}

/// Goes back to what the server is configured with.
#[utoipa::path(delete, path = "/api/v1/retention", tag = "retention", responses((status = 204, description = "the server's values hold")))]
pub(crate) async fn reset_retention(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
) -> Result<StatusCode, Failure> {
    state.engine.set_retention(caller.project, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn set<T>(target: &mut T, field: &str, text: Option<&str>) -> Result<(), Fault>
where
    T: FromStr,
    T::Err: Display,
{
    if let Some(text) = text {
        let wrong = |error: T::Err| Fault::new(Code::InvalidConfiguration, format!("{field}: {error}"));
        *target = text.parse().map_err(wrong)?;
    }
    Ok(())
}

fn view(retention: &Retention, own: bool) -> RetentionView {
    RetentionView {
        runs: retention.runs.to_string(),
        results: retention.results.to_string(),
        logs: retention.logs.to_string(),
        log_bytes: retention.log_bytes.to_string(),
        own,
    }
}
