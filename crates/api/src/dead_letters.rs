//! `/api/v1/dead-letters`.

use axum::extract::State;
use axum::response::IntoResponse;
use faas_engine::DeadSelection;
use faas_ports::{Clock, DeadLetter, DeadLetterQuery, SystemClock};
use faas_proto::rest::{
    DeadLetterFilter, DeadLetterList, DeadLetterView, Problem, PurgeReport, RedriveReport, RedrivenView,
};
use faas_types::{Fault, ProjectId, Timestamp, limits};
use faas_web::{Authorized, HandlerError, Json, PathParams, QueryParams};
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::page::{self, Order, PageQuery};
use crate::replays::input_view;
use crate::runs::run_id;
use crate::state::ApiState;
use crate::views::run_view;

/// Which dead letters to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// Only of this function, by name or id. A deleted one is found as long as its runs are kept.
    function: Option<String>,
    /// Only with this code, such as `FN_002`.
    #[param(max_length = 400)]
    code: Option<String>,
    /// Only accepted since: a time such as `2026-11-21T08:00:00Z`, or how long ago, such as `10m`.
    #[param(max_length = 40)]
    since: Option<String>,
    /// Only accepted before, in the same form.
    #[param(max_length = 40)]
    until: Option<String>,
}

/// Lists runs that were given up, newest first.
#[utoipa::path(get, path = "/api/v1/dead-letters", operation_id = "deadLetters.list", tag = "dead-letters", params(Filter, PageQuery), responses(
    (status = 200, body = DeadLetterList),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list_dead_letters(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    QueryParams(filter): QueryParams<Filter>,
    page: PageQuery,
) -> Result<Json<DeadLetterList>, HandlerError> {
    let page = page.of("dead-letters", caller.project, Order::Desc)?.only(Order::Desc)?;
    let Filter { function, code, since, until } = filter;
    let narrowed = DeadLetterFilter { function, code, since, until, limit: u32::try_from(page.wanted()).ok() };
    let mut query = query(&state, caller.project, &narrowed, page.now).await?;
    query.after = page.after()?;
    let letters = state.engine.runs.dead_letters(&query).await?;
    Ok(Json(page.of_found(letters, |letter| letter.record.id.to_string()).map(letter_view)))
}

/// Shows a dead letter with every attempt and its input: of messages those that are left.
#[utoipa::path(get, path = "/api/v1/dead-letters/{dead_letter}", operation_id = "deadLetters.get", tag = "dead-letters", params(("dead_letter" = String, Path, description = "the run's id")), responses(
    (status = 200, body = DeadLetterView),
    (status = 404, description = "no such dead letter", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn get_dead_letter(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
) -> Result<Json<DeadLetterView>, HandlerError> {
    let id = run_id(&id)?;
    let letter = state.engine.runs.dead_letter(caller.project, id).await?;
    let input = state.engine.runs.letter_input(&letter).await.ok().map(input_view);
    Ok(Json(DeadLetterView { input, ..letter_view(letter) }))
}

/// Tries a dead letter again, on the live version: a new run that is linked to it.
#[utoipa::path(post, path = "/api/v1/dead-letters/{dead_letter}/redrive", operation_id = "deadLetters.redrive", tag = "dead-letters", params(("dead_letter" = String, Path, description = "the run's id")), responses(
    (status = 202, body = RedriveReport),
    (status = 404, description = "no such dead letter", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "redriven or purged meanwhile", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "too many runs wait", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn redrive_dead_letter(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
) -> Result<impl IntoResponse, HandlerError> {
    let mut redriven = state.engine.runs.redrive(caller.project, DeadSelection::One(run_id(&id)?)).await?;
    match redriven.pop() {
        Some(one) => match one.outcome {
            Ok(_) => Ok((StatusCode::ACCEPTED, Json(RedriveReport { redriven: vec![redriven_view(one)] }))),
            Err(fault) => Err(fault.into()),
        },
        None => Err(Fault::internal("a redrive has no outcome").into()),
    }
}

/// Tries all dead letters of a filter again, up to 1,000 with one request.
#[utoipa::path(post, path = "/api/v1/dead-letters/actions/redrive", operation_id = "deadLetters.redriveMany", tag = "dead-letters", request_body = DeadLetterFilter, responses(
    (status = 202, body = RedriveReport),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn redrive_dead_letters(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    Json(filter): Json<DeadLetterFilter>,
) -> Result<impl IntoResponse, HandlerError> {
    let query = query(&state, caller.project, &filter, SystemClock.now()).await?;
    let redriven = state.engine.runs.redrive(caller.project, DeadSelection::Found(query)).await?;
    let redriven = redriven.into_iter().map(redriven_view).collect();
    Ok((StatusCode::ACCEPTED, Json(RedriveReport { redriven })))
}

/// Forgets a dead letter with its input. The run stays in the history.
#[utoipa::path(delete, path = "/api/v1/dead-letters/{dead_letter}", operation_id = "deadLetters.delete", tag = "dead-letters", params(("dead_letter" = String, Path, description = "the run's id")), responses(
    (status = 204, description = "forgotten"),
    (status = 404, description = "no such dead letter", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn purge_dead_letter(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
) -> Result<StatusCode, HandlerError> {
    state.engine.runs.purge(caller.project, DeadSelection::One(run_id(&id)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forgets all dead letters of a filter, up to 1,000 with one request.
#[utoipa::path(post, path = "/api/v1/dead-letters/actions/purge", operation_id = "deadLetters.purge", tag = "dead-letters", request_body = DeadLetterFilter, responses(
    (status = 200, body = PurgeReport),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn purge_dead_letters(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    Json(filter): Json<DeadLetterFilter>,
) -> Result<Json<PurgeReport>, HandlerError> {
    let query = query(&state, caller.project, &filter, SystemClock.now()).await?;
    let purged = state.engine.runs.purge(caller.project, DeadSelection::Found(query)).await?;
    Ok(Json(PurgeReport { purged }))
}

async fn query(
    state: &ApiState,
    project: ProjectId,
    filter: &DeadLetterFilter,
    now: Timestamp,
) -> Result<DeadLetterQuery, Fault> {
    let function = match &filter.function {
        Some(text) => Some(state.engine.catalog().find_past(project, text).await?),
        None => None,
    };
    let limit = filter.limit.unwrap_or(limits::REDRIVE_MAX);
    if !(1..=limits::REDRIVE_MAX).contains(&limit) {
        let message = format!("limit: it goes from 1 to {}, not {limit}", limits::REDRIVE_MAX);
        return Err(Fault::of_field(message));
    }
    Ok(DeadLetterQuery {
        project,
        function,
        code: page::parsed("code", filter.code.as_deref())?,
        since: page::time("since", filter.since.as_deref(), now)?,
        until: page::time("until", filter.until.as_deref(), now)?,
        after: None,
        limit,
    })
}

fn letter_view(letter: DeadLetter) -> DeadLetterView {
    DeadLetterView {
        run: run_view(letter.record),
        reason: letter.reason,
        died_at: letter.died_at.to_string(),
        input: None,
    }
}

fn redriven_view(one: faas_engine::Redriven) -> RedrivenView {
    let (run_id, error) = match one.outcome {
        Ok(accepted) => (Some(accepted.run.to_string()), None),
        Err(fault) => (None, Some(fault.to_string())),
    };
    RedrivenView { dead: one.dead.to_string(), run_id, error }
}
