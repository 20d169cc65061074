//! `/api/v1/functions/{function}/deployments` and `/api/v1/deployments/{deployment}`: what moved a function's aliases, or is to.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use faas_engine::{Caller, EventTail};
use faas_proto::rest::{
    DeploymentEventList, DeploymentList, DeploymentView, ListPage, Problem, StreamEvent, StreamFrame,
};
use faas_types::{Deployment, DeploymentId, DeploymentState, Fault, FunctionId, ProjectId, Reason};
use faas_web::{Authorized, HandlerError, Json, PathParams, QueryParams, RequestId, problem};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::aliases::mover;
use crate::deployment_views::event_view;
use crate::page::{self, Order, Page, PageQuery};
use crate::state::ApiState;
use crate::stream::{self as streams, StreamForm, StreamRequest};

/// Which deployments.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct InStates {
    /// Only in these states, with commas between them.
    #[param(max_length = 100)]
    state: Option<String>,
}

/// The states that are wanted; empty for all.
pub(crate) struct States(Vec<DeploymentState>);

/// Which events.
pub(crate) struct EventRows {
    page: Page,
    /// Only what comes after this one.
    pub(crate) after: u64,
}

/// What the stream of a deployment ends with.
pub(crate) struct Ended {
    /// `end` with its view, or `error` with its problem.
    pub(crate) kind: &'static str,
    /// When it ended, where that is known.
    pub(crate) at: Option<String>,
    pub(crate) data: serde_json::Value,
}

/// Reads that, once the events have come to their end.
pub(crate) type Ending = BoxFuture<'static, Ended>;

/// Lists what moved a function's aliases, newest first: deployments of every state, rollbacks, and steps of the platform.
#[utoipa::path(get, path = "/api/v1/functions/{function}/deployments", operation_id = "deployments.list", tag = "deployments", params(("function" = String, Path, description = "name or id"), InStates, PageQuery), responses(
    (status = 200, body = DeploymentList),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list_deployments(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    QueryParams(filter): QueryParams<InStates>,
    query: PageQuery,
    request: StreamRequest,
) -> Result<Json<DeploymentList>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let page = query.of("deployments", entry.record.id, Order::Desc)?;
    let wanted = filter.states()?;
    let all = state.engine.deployments.list(&entry).await?.into_iter().filter(|one| wanted.holds(one.state));
    // Ids rise with time.
    let ListPage { items: found, next_cursor, total } = page.cut(all, |one| one.id.to_string());
    let mut items = Vec::with_capacity(found.len());
    for deployment in &found {
        items.push(state.deployment_view(caller.project, deployment, &request.id).await?);
    }
    Ok(Json(ListPage { items, next_cursor, total }))
}

/// Shows a deployment.
#[utoipa::path(get, path = "/api/v1/deployments/{deployment}", operation_id = "deployments.get", tag = "deployments", params(("deployment" = String, Path, description = "the deployment's id")), responses(
    (status = 200, body = DeploymentView),
    (status = 404, description = "no such deployment", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn get_deployment(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    request: StreamRequest,
) -> Result<Json<DeploymentView>, HandlerError> {
    let deployment = found(&state, &caller, &id).await?;
    Ok(Json(state.deployment_view(caller.project, &deployment, &request.id).await?))
}

/// Shows what happens in a deployment: a page, or a stream that goes on until its end.
///
/// Events are kept as long as the deployment is. `end` has the deployment as its data, `error` the problem.
#[utoipa::path(get, path = "/api/v1/deployments/{deployment}/events", operation_id = "deployments.listEvents", tag = "deployments",
    params(("deployment" = String, Path, description = "the deployment's id"), PageQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "only what comes after this event")),
    responses(
    (status = 200, content((DeploymentEventList = "application/json"), (StreamFrame = "text/event-stream"), (StreamEvent = "application/x-ndjson"))),
    (status = 404, description = "no such deployment", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn deployment_events(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    query: PageQuery,
    request: StreamRequest,
) -> Result<Response, HandlerError> {
    let project = caller.project;
    let deployment = found(&state, &caller, &id).await?;
    let rows = EventRows::of(query, "deployment-events", deployment.id, &request)?;
    let tail = state.engine.deployments.events(project, &deployment, rows.after).await?;
    let id = deployment.id;
    let (engine_state, request_id) = (state, request.id.clone());
    let ending: Ending = Box::pin(async move { ending_of(&engine_state, project, id, &request_id).await });
    rows.answer(&request, tail, ending).await
}

/// Cancels a deployment that has not been committed: nothing has changed then.
#[utoipa::path(post, path = "/api/v1/deployments/{deployment}/cancel", operation_id = "deployments.cancel", tag = "deployments", params(("deployment" = String, Path, description = "the deployment's id")), responses(
    (status = 200, body = DeploymentView),
    (status = 404, description = "no such deployment", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "it has ended, is being committed, or is part of a group", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn cancel_deployment(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    request: StreamRequest,
) -> Result<Json<DeploymentView>, HandlerError> {
    let asked = found(&state, &caller, &id).await?;
    let deployment = state.engine.deployments.cancel(caller.project, asked.id, mover(&caller)).await?;
    Ok(Json(state.deployment_view(caller.project, &deployment, &request.id).await?))
}

async fn ending_of(state: &ApiState, project: ProjectId, id: DeploymentId, request: &RequestId) -> Ended {
    let view = match state.engine.deployments.find(project, id).await {
        Ok(deployment) => state.deployment_view(project, &deployment, request).await,
        Err(fault) => Err(fault),
    };
    match view {
        Ok(view) => Ended::of(&view, view.problem.as_deref(), view.finished_at.as_deref()),
        Err(fault) => Ended::unknown(&fault, request),
    }
}

// === impl Ended ===

impl Ended {
    /// The end of what a view shows: its problem, or the view where it has none.
    pub(crate) fn of(view: &impl serde::Serialize, problem: Option<&Problem>, at: Option<&str>) -> Self {
        let at = at.map(str::to_owned);
        match problem {
            Some(problem) => Self { kind: StreamEvent::ERROR, at, data: json(problem) },
            None => Self { kind: StreamEvent::END, at, data: json(view) },
        }
    }

    /// An end that cannot be read.
    pub(crate) fn unknown(fault: &Fault, request: &RequestId) -> Self {
        Self { kind: StreamEvent::ERROR, at: None, data: json(&problem(fault, request, None)) }
    }
}

/// Plain strings and numbers always encode.
fn json(value: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_default()
}

// === impl InStates ===

impl InStates {
    pub(crate) fn states(&self) -> Result<States, Fault> {
        page::several("state", self.state.as_deref()).map(States)
    }
}

// === impl States ===

impl States {
    pub(crate) fn holds(&self, state: DeploymentState) -> bool {
        self.0.is_empty() || self.0.contains(&state)
    }
}

// === impl EventRows ===

impl EventRows {
    /// The rows that a query asks for, or a client that comes back.
    pub(crate) fn of(
        query: PageQuery,
        kind: &'static str,
        owner: impl std::fmt::Display,
        request: &StreamRequest,
    ) -> Result<Self, Fault> {
        let page = query.of(kind, owner, Order::Asc)?.only(Order::Asc)?;
        let after = request.last_position()?.or(page.after()?).unwrap_or(0);
        Ok(Self { page, after })
    }

    /// A page of events, or all of them until the end.
    pub(crate) async fn answer(
        &self,
        request: &StreamRequest,
        mut tail: EventTail,
        ending: Ending,
    ) -> Result<Response, HandlerError> {
        if request.form != StreamForm::Page {
            return Ok(request.form.response(events(tail, ending)));
        }
        let page = self.page.of_found(tail.ready(), |event| event.id.to_string());
        Ok(Json(page.map(event_view)).into_response())
    }
}

/// The events of a log as they come, then the end of what it is about. A server that stops says no end where it is not stored: the client comes back.
fn events(tail: EventTail, ending: Ending) -> impl Stream<Item = StreamEvent> + Send {
    stream::unfold(Some((tail, ending)), |following| async move {
        let (mut tail, ending) = following?;
        let (ready, rest) = match tail.next().await {
            Some(ready) => (ready.into_iter().map(event_view).collect(), Some((tail, ending))),
            None => {
                let Ended { kind, at, data } = ending.await;
                let event = streams::event(&tail.end(), kind, &data);
                (vec![StreamEvent { at: at.unwrap_or(event.at), ..event }], None)
            }
        };
        Some((stream::iter(ready), rest))
    })
    .flatten()
}

/// A deployment that the caller may see: a key that is restricted to functions knows of no other.
async fn found(state: &ApiState, caller: &Caller, text: &str) -> Result<Deployment, Fault> {
    let id = deployment_id(text)?;
    let deployment = state.engine.deployments.find(caller.project, id).await?;
    // A function that is not made yet has no id.
    let function = deployment.function_id.unwrap_or(FunctionId::from_u128(0));
    if caller.may_use(function, &deployment.function) {
        return Ok(deployment);
    }
    Err(Fault::new(Reason::DeploymentNotFound, format!("no deployment {id}")))
}

fn deployment_id(text: &str) -> Result<DeploymentId, Fault> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(80).collect();
        Fault::new(Reason::DeploymentNotFound, format!("no deployment `{shown}`"))
    })
}
