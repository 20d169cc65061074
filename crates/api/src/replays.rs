//! What can be done with a run: `/api/v1/runs/{run}/cancel`, `…/replay`, `…/input`.

use axum::extract::State;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use faas_engine::{HttpRequest, Replay, RunInput};
use faas_proto::rest::{AcceptedRun, HeaderView, Problem, ReplayRequest, ReplayVersion, RunInputView, RunView};
use faas_types::{JsonText, RunState};
use faas_web::{Authorized, HandlerError, Json, PathParams};
use http::StatusCode;
use http::header::LOCATION;

use crate::runs::run_id;
use crate::state::ApiState;
use crate::views::run_view;

/// Headers whose values let somebody in.
const CREDENTIALS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-api-key"];

/// Ends a run that has not ended. A running one is killed with all its processes.
#[utoipa::path(post, path = "/api/v1/runs/{run}/cancel", operation_id = "runs.cancel", tag = "runs", params(("run" = String, Path, description = "the run's id")), responses(
    (status = 200, body = RunView),
    (status = 404, description = "no such run", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "it has ended already", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn cancel_run(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
) -> Result<Json<RunView>, HandlerError> {
    Ok(Json(run_view(state.engine.runs.cancel(caller.project, run_id(&id)?).await?)))
}

/// Runs an ended run again: a new run that is linked to it.
#[utoipa::path(post, path = "/api/v1/runs/{run}/replay", operation_id = "runs.replay", tag = "runs", params(("run" = String, Path, description = "the run's id")),
    request_body = ReplayRequest, responses(
    (status = 202, body = AcceptedRun),
    (status = 404, description = "no such run, or its input is not kept", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "it has not ended", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "too many runs wait", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn replay_run(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    Json(body): Json<ReplayRequest>,
) -> Result<impl IntoResponse, HandlerError> {
    let replay = Replay {
        body: body.payload.map(|payload| payload.text().to_owned().into()),
        current: body.version == ReplayVersion::Current,
    };
    let accepted = state.engine.runs.replay(caller.project, run_id(&id)?, replay).await?;
    let run_id = accepted.run.to_string();
    let location = [(LOCATION, format!("/api/v1/runs/{run_id}"))];
    let view = AcceptedRun { run_id, state: RunState::Queued, repeated: accepted.repeated };
    Ok((StatusCode::ACCEPTED, location, Json(view)))
}

/// Shows what a run was called with, while that is kept.
#[utoipa::path(get, path = "/api/v1/runs/{run}/input", operation_id = "runs.getInput", tag = "runs", params(("run" = String, Path, description = "the run's id")), responses(
    (status = 200, body = RunInputView),
    (status = 404, description = "no such run, or its input is not kept", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn run_input(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
) -> Result<Json<RunInputView>, HandlerError> {
    let id = run_id(&id)?;
    state.engine.history().run(caller.project, id).await?;
    Ok(Json(input_view(state.engine.runs.input(caller.project, id).await?)))
}

pub(crate) fn input_view(input: RunInput) -> RunInputView {
    let RunInput { payload, body, .. } = input;
    let HttpRequest { method, path, query, headers } = payload.into_http();
    let json = JsonText::parse(&body).and_then(JsonText::shallow);
    let text = if json.is_none() { std::str::from_utf8(&body).ok().map(str::to_owned) } else { None };
    let base64 = (json.is_none() && text.is_none()).then(|| BASE64_STANDARD.encode(&body));
    let headers = headers
        .into_iter()
        .map(|(name, value)| {
            let hidden = CREDENTIALS.contains(&name.as_str());
            let value = if hidden { "(left out)".to_owned() } else { value };
            HeaderView { name, value }
        })
        .collect();
    RunInputView { method, path, query, headers, json, text, base64 }
}
