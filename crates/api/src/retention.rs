//! `/api/v1/settings/retention`.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use axum::extract::State;
use faas_proto::rest::{Problem, RetentionView, SetRetention};
use faas_types::{Fault, Retention, Span};
use faas_web::{Authorized, HandlerError, Json};
use http::StatusCode;

use crate::state::ApiState;

/// The least that runs, results and log lines are kept by a project's own setting.
const LEAST: Duration = Duration::from_secs(3_600);

/// Shows how long the project's runs, results and log lines are kept.
#[utoipa::path(get, path = "/api/v1/settings/retention", operation_id = "retention.get", tag = "retention", responses((status = 200, body = RetentionView)))]
pub(crate) async fn get_retention(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
) -> Result<Json<RetentionView>, HandlerError> {
    let (retention, own) = state.engine.runs.retention(caller.project).await?;
    Ok(Json(view(&retention, own)))
}

/// Changes how long they are kept. What has expired by that is deleted soon, and does not come back: ask with `dry_run` first.
#[utoipa::path(patch, path = "/api/v1/settings/retention", operation_id = "retention.update", tag = "retention", request_body = SetRetention, responses(
    (status = 200, body = RetentionView),
    (status = 422, description = "a value out of its bounds", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn set_retention(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    Json(body): Json<SetRetention>,
) -> Result<Json<RetentionView>, HandlerError> {
    let (mut retention, _) = state.engine.runs.retention(caller.project).await?;
    set_span(&mut retention.runs, "runs", body.runs.as_deref())?;
    // Who only says how long runs are kept has not asked for results that outlive them.
    retention.results = retention.results.min(retention.runs);
    set_span(&mut retention.results, "results", body.results.as_deref())?;
    set_span(&mut retention.logs, "logs", body.logs.as_deref())?;
    set(&mut retention.run_bytes, "run_bytes", body.run_bytes.as_deref())?;
    set(&mut retention.log_bytes, "log_bytes", body.log_bytes.as_deref())?;
    if body.dry_run {
        let wrong = |(field, message)| Fault::of_field(format!("{field}: {message}"));
        retention.check().map_err(wrong)?;
        return Ok(Json(view(&retention, true)));
    }
    state.engine.runs.set_retention(caller.project, Some(retention)).await?;
    Ok(Json(view(&retention, true)))
}

/// Goes back to what the server is configured with.
#[utoipa::path(delete, path = "/api/v1/settings/retention", operation_id = "retention.reset", tag = "retention", responses((status = 204, description = "the server's values hold")))]
pub(crate) async fn reset_retention(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
) -> Result<StatusCode, HandlerError> {
    state.engine.runs.set_retention(caller.project, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A slip here cannot be undone a minute later, so it has a floor: what is shorter than that is a slip.
fn set_span(target: &mut Span, field: &str, text: Option<&str>) -> Result<(), Fault> {
    set(target, field, text)?;
    if text.is_some() && target.get() < LEAST {
        let message = format!("{field}: must be at least 1h, such as 30d; {target} would delete nearly everything");
        return Err(Fault::of_field(message));
    }
    Ok(())
}

fn set<T>(target: &mut T, field: &str, text: Option<&str>) -> Result<(), Fault>
where
    T: FromStr,
    T::Err: Display,
{
    if let Some(text) = text {
        if text.trim().bytes().all(|byte| byte.is_ascii_digit()) {
            let message = format!("{field}: `{text}` has no unit; write one, such as 30d or 12h, or 500MB for bytes");
            return Err(Fault::of_field(message));
        }
        let wrong = |error: T::Err| Fault::of_field(format!("{field}: {error}"));
        *target = text.parse().map_err(wrong)?;
    }
    Ok(())
}

fn view(retention: &Retention, own: bool) -> RetentionView {
    RetentionView {
        runs: retention.runs.to_string(),
        run_bytes: retention.run_bytes.to_string(),
        results: retention.results.to_string(),
        logs: retention.logs.to_string(),
        log_bytes: retention.log_bytes.to_string(),
        own,
    }
}
