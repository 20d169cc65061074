//! Log lines of a function or a run: a page of them, or followed as server-sent events.

use std::convert::Infallible;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use faas_engine::LogFollower;
use faas_ports::{Clock, LogQuery, SystemClock};
use faas_proto::rest::{LogList, Problem};
use faas_types::{Code, Fault, FunctionId, LogLevel};
use faas_web::{Authorized, Failure, Json, PathParams, QueryParams};
use futures_util::stream::{self, Stream, StreamExt};
use http::HeaderMap;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::page;
use crate::runs::run_id;
use crate::state::ApiState;
use crate::views::log_line_view;

/// Which lines to show.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// Only after this position; as `Last-Event-ID` when following.
    #[param(minimum = 0, maximum = 9007199254740991_i64)]
    after: Option<u64>,
    /// Only at least this important.
    level: Option<LogLevel>,
    /// Only lines that contain this text, whatever the case.
    #[param(max_length = 200)]
    search: Option<String>,
    /// Only since: a time such as `2026-11-21T08:00:00Z`, or how long ago, such as `10m`.
    #[param(max_length = 40)]
    since: Option<String>,
    /// Only of this run.
    #[param(max_length = 30)]
    run: Option<String>,
    /// The newest lines instead of the oldest; still shown oldest first.
    tail: Option<bool>,
    /// Lines in the page.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Keeps the connection and sends lines as they are written, as server-sent events.
    follow: Option<bool>,
}

/// Shows what a function wrote.
#[utoipa::path(get, path = "/api/v1/functions/{id}/logs", tag = "logs", params(("id" = String, Path, description = "name or id"), Filter), responses(
    (status = 200, content((LogList = "application/json"), (String = "text/event-stream"))),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn function_logs(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    QueryParams(filter): QueryParams<Filter>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let function = state.engine.catalog().find(caller.project, &id)?.record.id;
    let mut query = LogQuery::newest(caller.project, page::limit(filter.limit)?);
    query.function = Some(function);
    query.run = page::parsed("run", filter.run.as_deref())?;
    answer(&state, function, filter, query, &headers).await
}

/// Shows what a run wrote.
#[utoipa::path(get, path = "/api/v1/runs/{id}/logs", tag = "logs", params(("id" = String, Path, description = "the run's id"), Filter), responses(
    (status = 200, content((LogList = "application/json"), (String = "text/event-stream"))),
    (status = 404, description = "no such run", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn run_logs(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    QueryParams(filter): QueryParams<Filter>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let run = state.engine.run(caller.project, run_id(&id)?).await?;
    let mut query = LogQuery::newest(caller.project, page::limit(filter.limit)?);
    query.run = Some(run.id);
    answer(&state, run.function, filter, query, &headers).await
}

async fn answer(
    state: &ApiState,
    function: FunctionId,
    filter: Filter,
    mut query: LogQuery,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    query.level = filter.level;
    query.since = page::time("since", filter.since.as_deref(), SystemClock.now())?;
    // A client that reconnects sends its first query again; how far it came is in the header.
    query.after = last_event_id(headers)?.or(filter.after);
    query.tail = filter.tail.unwrap_or(false) && query.after.is_none();
    if filter.search.as_ref().is_some_and(|text| text.len() > 200) {
        return Err(Failure(Fault::new(Code::BadRequest, "the parameter `search` has more than 200 bytes")));
    }
    query.search = filter.search;
    if filter.follow == Some(true) {
        let follower = state.engine.follow_logs(function, query).await?;
        return Ok(Sse::new(events(follower)).keep_alive(KeepAlive::default()).into_response());
    }
    let found = state.engine.logs(&query).await?;
    let next = found.lines.last().map(|(cursor, _)| *cursor);
    let lines = found.lines.into_iter().map(|(cursor, line)| log_line_view(cursor, line)).collect();
    Ok(Json(LogList { lines, next }).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Fault> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    id.map(Some).ok_or_else(|| Fault::new(Code::BadRequest, "the header Last-Event-ID is not a position"))
}

fn events(follower: LogFollower) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(follower, |mut follower| async move {
        let lines = match follower.next().await? {
            Ok(page) => page.lines,
            Err(error) => {
                tracing::warn!(%error, "a log follower ends");
                return None;
            }
        };
        let events: Vec<_> = lines
            .into_iter()
            .filter_map(|(cursor, line)| {
                let event = Event::default().event("line").id(cursor.to_string());
                event.json_data(log_line_view(cursor, line)).ok().map(Ok)
            })
            .collect();
        Some((stream::iter(events), follower))
    })
    .flatten()
}
