//! Log lines of a function or a run: a page of them, or followed as a stream.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use faas_ports::{LogPage, LogQuery};
use faas_proto::rest::{LogList, Problem, StreamEvent, StreamFrame};
use faas_telemetry::LogTail;
use faas_types::{Fault, LogLevel, LogLine, ProjectId, Reason};
use faas_web::{Authorized, HandlerError, Json, PathParams, QueryParams, RequestId, problem};
use futures_util::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use crate::page::{self, Order, Page, PageQuery};
use crate::runs::run_id;
use crate::state::ApiState;
use crate::stream::{self as streams, StreamForm, StreamRequest};

/// Which lines to show.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// Only after this position of a line; as `Last-Event-ID` when following.
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
    /// Only before, in the same form.
    #[param(max_length = 40)]
    until: Option<String>,
    /// Only of this run.
    #[param(max_length = 30)]
    run: Option<String>,
    /// The same as to accept `text/event-stream`: keeps the connection and sends lines as they are written. With `order=desc`
    /// the newest `limit` lines come first.
    follow: Option<bool>,
}

/// Shows what the project's functions wrote.
#[utoipa::path(get, path = "/api/v1/logs", operation_id = "logs.list", tag = "logs", params(Filter, PageQuery), responses(
    (status = 200, content((LogList = "application/json"), (StreamFrame = "text/event-stream"), (StreamEvent = "application/x-ndjson"))),
))]
pub(crate) async fn project_logs(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    QueryParams(filter): QueryParams<Filter>,
    page: PageQuery,
    request: StreamRequest,
) -> Result<Response, HandlerError> {
    let page = page.of("logs", caller.project, Order::Asc)?;
    let query = query(caller.project, &page);
    answer(state, filter, page, query, request).await
}

/// Shows what a function wrote, also one that was deleted.
#[utoipa::path(get, path = "/api/v1/functions/{function}/logs", operation_id = "functions.listLogs", tag = "logs", params(("function" = String, Path, description = "name or id"), Filter, PageQuery), responses(
    (status = 200, content((LogList = "application/json"), (StreamFrame = "text/event-stream"), (StreamEvent = "application/x-ndjson"))),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn function_logs(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    QueryParams(filter): QueryParams<Filter>,
    page: PageQuery,
    request: StreamRequest,
) -> Result<Response, HandlerError> {
    let function = state.engine.catalog().find_past(caller.project, &id).await?;
    let page = page.of("function-logs", function, Order::Asc)?;
    let query = LogQuery { function: Some(function), ..query(caller.project, &page) };
    answer(state, filter, page, query, request).await
}

/// Shows what a run wrote. Followed, it ends after the run has.
#[utoipa::path(get, path = "/api/v1/runs/{run}/logs", operation_id = "runs.listLogs", tag = "logs", params(("run" = String, Path, description = "the run's id"), Filter, PageQuery), responses(
    (status = 200, content((LogList = "application/json"), (StreamFrame = "text/event-stream"), (StreamEvent = "application/x-ndjson"))),
    (status = 404, description = "no such run", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn run_logs(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    QueryParams(filter): QueryParams<Filter>,
    page: PageQuery,
    request: StreamRequest,
) -> Result<Response, HandlerError> {
    let run = state.engine.history().run(caller.project, run_id(&id)?).await?;
    let page = page.of("run-logs", run.id, Order::Asc)?;
    let query = LogQuery { run: Some(run.id), function: Some(run.function().id), ..query(caller.project, &page) };
    answer(state, Filter { run: None, ..filter }, page, query, request).await
}

fn query(project: ProjectId, page: &Page) -> LogQuery {
    LogQuery::newest(project, u32::try_from(page.limit).unwrap_or(u32::MAX))
}

async fn answer(
    state: ApiState,
    filter: Filter,
    page: Page,
    mut query: LogQuery,
    request: StreamRequest,
) -> Result<Response, HandlerError> {
    query.run = page::parsed("run", filter.run.as_deref())?.or(query.run);
    query.level = filter.level;
    query.since = page::time("since", filter.since.as_deref(), page.now)?;
    query.until = page::time("until", filter.until.as_deref(), page.now)?;
    // A client that reconnects sends its first query again; how far it came is in the header.
    query.after = request.last_position()?.or(filter.after);
    let form = match request.form {
        StreamForm::Page if filter.follow == Some(true) => StreamForm::Frames,
        form => form,
    };
    let is_followed = form != StreamForm::Page;
    query.tail = page.descends() && (query.after.is_none() || !is_followed);
    if filter.search.as_ref().is_some_and(|text| text.len() > 200) {
        return Err(HandlerError(Fault::new(
            Reason::InvalidParameter,
            "the parameter `search` has more than 200 bytes",
        )));
    }
    query.search = filter.search;
    if is_followed {
        if query.until.is_some() || page.after::<u64>()?.is_some() {
            let fault = Fault::new(Reason::InvalidParameter, "what is followed has no end")
                .with_hint("leave `until` and `cursor` away, or ask for application/json without `follow`");
            return Err(HandlerError(fault));
        }
        let follower = state.engine.history().follow_logs(query).await?;
        return Ok(form.response(events(state, follower, request.id)));
    }
    match page.order {
        Order::Asc => query.after = page.after()?.or(query.after),
        Order::Desc => query.before = page.after()?,
    }
    let found = state.engine.history().logs(&query).await?;
    // A page shows where it goes on even when no line of it matched.
    let next = if page.descends() { found.previous } else { Some(found.next).filter(|_| found.more) };
    let mut list = page.ending(found.lines, next.map(|position| position.to_string()));
    if page.descends() {
        list.items.reverse();
    }
    let project = query.project;
    Ok(Json(list.map(|(position, line)| state.log_line_view(project, position, line))).into_response())
}

/// The events of a follower: its lines, where it stands, and its end.
fn events(state: ApiState, follower: LogTail, id: RequestId) -> impl Stream<Item = StreamEvent> + Send {
    stream::unfold(Some((state, follower, id, 0)), |following| async move {
        let (state, mut follower, id, last) = following?;
        let page = match follower.next().await {
            Some(Ok(page)) => page,
            Some(Err(fault)) => {
                tracing::warn!(error = %fault, "a log follower ends");
                let event = streams::event(&last, StreamEvent::ERROR, &problem(&fault, &id, None));
                return Some((stream::iter(vec![event]), None));
            }
            None => {
                // A server that stops says nothing: the client comes back.
                let end = follower.is_over().then(|| streams::event(&last, StreamEvent::END, &json!({})));
                return end.map(|end| (stream::iter(vec![end]), None));
            }
        };
        let last = page.next;
        Some((stream::iter(page_events(&state, page)), Some((state, follower, id, last))))
    })
    .flatten()
}

fn page_events(state: &ApiState, page: LogPage) -> Vec<StreamEvent> {
    if page.lines.is_empty() {
        // Lines that do not match are not read again by a client that comes back.
        let position = || streams::event(&page.next, "position", &json!({}));
        return (page.examined > 0).then(position).into_iter().collect();
    }
    let event = |(cursor, line): (u64, LogLine)| {
        let line = state.log_line_view(line.project, cursor, line);
        StreamEvent { at: line.at.clone(), ..streams::event(&cursor, "log", &line) }
    };
    page.lines.into_iter().map(event).collect()
}
