//! `/api/v1/settings/retention`.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use axum::extract::State;
use faas_proto::rest::{Problem, RetentionView, SetRetention};
use faas_types::{Fault, Retention, Span};
use faas_web::{Authorized, HandlerError, Json, Precondition, StateTag, Tagged};
use http::StatusCode;

use crate::state::ApiState;

/// The least that runs, results and log lines are kept by a project's own setting.
const LEAST: Duration = Duration::from_secs(3_600);

/// Shows how long the project's runs, results and log lines are kept.
#[utoipa::path(get, path = "/api/v1/settings/retention", operation_id = "retention.get", tag = "retention", responses((status = 200, body = RetentionView)))]
pub(crate) async fn get_retention(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
) -> Result<Tagged<RetentionView>, HandlerError> {
    let (retention, own) = state.engine.runs.retention(caller.project).await?;
    Ok(Tagged(StateTag::of(&(retention, own)), view(&retention, own)))
}

/// Changes how long they are kept. What has expired by that is deleted soon, and does not come back: ask with `dry_run` first.
#[utoipa::path(patch, path = "/api/v1/settings/retention", operation_id = "retention.update", tag = "retention", request_body = SetRetention, responses(
    (status = 200, body = RetentionView),
    (status = 422, description = "a value out of its bounds", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn set_retention(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    precondition: Precondition,
    Json(body): Json<SetRetention>,
) -> Result<Tagged<RetentionView>, HandlerError> {
    let runs = &state.engine.runs;
    let change = |now: Retention, own: bool| {
        precondition.check(Some(StateTag::of(&(now, own))))?;
        changed(now, &runs.retention_default(), &body)
    };
    if body.dry_run {
        let (now, own) = runs.retention(caller.project).await?;
        let retention = change(now, own)?;
        retention.check().map_err(|(field, message)| Fault::of_field(format!("{field}: {message}")))?;
        return Ok(Tagged(StateTag::of(&(now, own)), view(&retention, true)));
    }
    let retention = runs.change_retention(caller.project, change).await?;
    Ok(Tagged(StateTag::of(&(retention, true)), view(&retention, true)))
}

/// A retention with what the body says.
fn changed(mut retention: Retention, default: &Retention, body: &SetRetention) -> Result<Retention, Fault> {
    set_span(&mut retention.runs, default.runs, "runs", body.runs.as_ref())?;
    // Who only says how long runs are kept has not asked for results that outlive them.
    retention.results = retention.results.min(retention.runs);
    set_span(&mut retention.results, default.results, "results", body.results.as_ref())?;
    set_span(&mut retention.logs, default.logs, "logs", body.logs.as_ref())?;
    set(&mut retention.run_bytes, default.run_bytes, "run_bytes", body.run_bytes.as_ref())?;
    set(&mut retention.log_bytes, default.log_bytes, "log_bytes", body.log_bytes.as_ref())?;
    Ok(retention)
}

/// Goes back to what the server is configured with.
#[utoipa::path(delete, path = "/api/v1/settings/retention", operation_id = "retention.reset", tag = "retention", responses(
    (status = 204, description = "the server's values hold"),
    (status = 404, description = "the project has no values of its own", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn reset_retention(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
) -> Result<StatusCode, HandlerError> {
    state.engine.runs.reset_retention(caller.project).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A slip here cannot be undone a minute later, so it has a floor: what is shorter than that is a slip.
fn set_span(target: &mut Span, default: Span, field: &str, given: Option<&Option<String>>) -> Result<(), Fault> {
    set(target, default, field, given)?;
    if given.is_some_and(Option::is_some) && target.get() < LEAST {
        let message = format!("{field}: must be at least 1h, such as 30d; {target} would delete nearly everything");
        return Err(Fault::of_field(message));
    }
    Ok(())
}

/// Takes what a body gives for a field; `null` stands for what the server is configured with.
fn set<T>(target: &mut T, default: T, field: &str, given: Option<&Option<String>>) -> Result<(), Fault>
where
    T: FromStr,
    T::Err: Display,
{
    let text = match given {
        None => return Ok(()),
        Some(None) => {
            *target = default;
            return Ok(());
        }
        Some(Some(text)) => text,
    };
    if text.trim().bytes().all(|byte| byte.is_ascii_digit()) {
        let message = format!("{field}: `{text}` has no unit; write one, such as 30d or 12h, or 500MB for bytes");
        return Err(Fault::of_field(message));
    }
    *target = text.parse().map_err(|error: T::Err| Fault::of_field(format!("{field}: {error}")))?;
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
