//! `/api/v1/deployment-groups`: functions that are deployed in one commit.

use axum::extract::State;
use axum::response::Response;
use faas_proto::rest::{
    DeployGroupRequest, DeploymentEventList, DeploymentGroupList, DeploymentGroupView, ListPage, Problem,
    RollbackGroupRequest, StreamEvent, StreamFrame,
};
use faas_types::{DeploymentGroupId, Fault, ProjectId, Reason};
use faas_web::{Authorized, HandlerError, Json, PathParams, QueryParams, RequestId};

use crate::aliases::mover;
use crate::deploy::{Rehearsal, answer, new_deployment, options};
use crate::deployments::{Ended, Ending, EventRows, InStates};
use crate::page::{Order, PageQuery};
use crate::state::ApiState;
use crate::stream::StreamRequest;
use crate::wait::Wait;

/// Deploys a group of functions: every version is sealed and loaded in a sandbox, then one commit moves `live` of all.
///
/// The answer is 202 and the group, which goes on by itself, as a deployment of one function does.
#[utoipa::path(post, path = "/api/v1/deployment-groups", operation_id = "deploymentGroups.create", tag = "deployments",
    params(Rehearsal, ("Prefer" = Option<String>, Header, description = "`wait=60` waits so many seconds for the end")),
    request_body = DeployGroupRequest, responses(
    (status = 201, description = "it has succeeded while the answer waited", body = DeploymentGroupView, headers(("Location" = String, description = "the path of the group"))),
    (status = 202, description = "it is under way", body = DeploymentGroupView, headers(("Location" = String, description = "the path of the group"))),
    (status = 409, description = "another deployment of one of them is under way", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "a manifest is wrong or a version does not load; none has moved", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "too many functions, or too many deployments wait", body = Problem, content_type = "application/problem+json"),
    (status = 504, description = "a version did not load in time", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "the disk is full, or the server is stopping", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn create_group(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    QueryParams(query): QueryParams<Rehearsal>,
    wait: Wait,
    request: StreamRequest,
    Json(body): Json<DeployGroupRequest>,
) -> Result<Response, HandlerError> {
    let DeployGroupRequest { functions, note } = body;
    let new = |(index, function)| {
        let place = format!("/functions/{index}/manifest");
        new_deployment(&place, function, note.clone(), &caller)
    };
    let news = functions.into_iter().enumerate().map(new).collect::<Result<Vec<_>, Fault>>()?;
    let (project, deployments) = (caller.project, &state.engine.deployments);
    let accepted = deployments.accept_group(project, news, options(&query, &request.id)).await?;
    let has_ended = match wait.for_end(accepted.ended()).await {
        Some(ended) => ended.map(|_| true)?,
        None => false,
    };
    let group = deployments.find_group(project, accepted.id).await?;
    let view = state.group_view(project, &group, &request.id).await?;
    Ok(wait.applied(answer(has_ended, format!("/api/v1/deployment-groups/{}", accepted.id), view)))
}

/// Lists the deployment groups, newest first.
#[utoipa::path(get, path = "/api/v1/deployment-groups", operation_id = "deploymentGroups.list", tag = "deployments", params(InStates, PageQuery), responses(
    (status = 200, body = DeploymentGroupList),
))]
pub(crate) async fn list_groups(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    QueryParams(filter): QueryParams<InStates>,
    query: PageQuery,
    request: StreamRequest,
) -> Result<Json<DeploymentGroupList>, HandlerError> {
    let page = query.of("deployment-groups", caller.project, Order::Desc)?;
    let wanted = filter.states()?;
    let all = state.engine.deployments.list_groups(caller.project).await?;
    let ListPage { items: found, next_cursor, total } =
        page.cut(all.into_iter().filter(|one| wanted.holds(one.state)), |one| one.id.to_string());
    let mut items = Vec::with_capacity(found.len());
    for group in &found {
        items.push(state.group_view(caller.project, group, &request.id).await?);
    }
    Ok(Json(ListPage { items, next_cursor, total }))
}

/// Shows a deployment group.
#[utoipa::path(get, path = "/api/v1/deployment-groups/{group}", operation_id = "deploymentGroups.get", tag = "deployments", params(("group" = String, Path, description = "the group's id")), responses(
    (status = 200, body = DeploymentGroupView),
    (status = 404, description = "no such group", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn get_group(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    request: StreamRequest,
) -> Result<Json<DeploymentGroupView>, HandlerError> {
    let group = state.engine.deployments.find_group(caller.project, group_id(&id)?).await?;
    Ok(Json(state.group_view(caller.project, &group, &request.id).await?))
}

/// Shows what happens in the deployments of a group: a page, or a stream that goes on until its end.
///
/// Events are kept as long as the group is. `end` has the group as its data, `error` the problem.
#[utoipa::path(get, path = "/api/v1/deployment-groups/{group}/events", operation_id = "deploymentGroups.listEvents", tag = "deployments",
    params(("group" = String, Path, description = "the group's id"), PageQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "only what comes after this event")),
    responses(
    (status = 200, content((DeploymentEventList = "application/json"), (StreamFrame = "text/event-stream"), (StreamEvent = "application/x-ndjson"))),
    (status = 404, description = "no such group", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn group_events(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    query: PageQuery,
    request: StreamRequest,
) -> Result<Response, HandlerError> {
    let (project, id) = (caller.project, group_id(&id)?);
    let deployments = &state.engine.deployments;
    deployments.find_group(project, id).await?;
    let rows = EventRows::of(query, "deployment-group-events", id, &request)?;
    let tail = deployments.group_events(project, id, rows.after).await?;
    let (engine_state, request_id) = (state, request.id.clone());
    let ending: Ending = Box::pin(async move { ending_of(&engine_state, project, id, &request_id).await });
    rows.answer(&request, tail, ending).await
}

/// Cancels a group that has not been committed: nothing has changed then.
#[utoipa::path(post, path = "/api/v1/deployment-groups/{group}/cancel", operation_id = "deploymentGroups.cancel", tag = "deployments", params(("group" = String, Path, description = "the group's id")), responses(
    (status = 200, body = DeploymentGroupView),
    (status = 404, description = "no such group", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "it has ended, or is being committed", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn cancel_group(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    request: StreamRequest,
) -> Result<Json<DeploymentGroupView>, HandlerError> {
    let group = state.engine.deployments.cancel_group(caller.project, group_id(&id)?, mover(&caller)).await?;
    Ok(Json(state.group_view(caller.project, &group, &request.id).await?))
}

/// Moves every function of a deployment group back to where it was before, in one commit.
#[utoipa::path(post, path = "/api/v1/deployment-groups/{group}/rollback", operation_id = "deploymentGroups.rollback", tag = "deployments", params(("group" = String, Path, description = "the group's id")),
    request_body = RollbackGroupRequest, responses(
    (status = 200, body = DeploymentGroupView),
    (status = 404, description = "no such group, or nothing to go back to", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "one of the functions has moved since", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn rollback_group(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    request: StreamRequest,
    Json(body): Json<RollbackGroupRequest>,
) -> Result<Json<DeploymentGroupView>, HandlerError> {
    let (project, deployments) = (caller.project, &state.engine.deployments);
    let back = deployments.rollback_group(project, group_id(&id)?, body.note, mover(&caller)).await?;
    let group = deployments.find_group(project, back.id).await?;
    Ok(Json(state.group_view(project, &group, &request.id).await?))
}

async fn ending_of(state: &ApiState, project: ProjectId, id: DeploymentGroupId, request: &RequestId) -> Ended {
    let view = match state.engine.deployments.find_group(project, id).await {
        Ok(group) => state.group_view(project, &group, request).await,
        Err(fault) => Err(fault),
    };
    match view {
        Ok(view) => Ended::of(&view, view.problem.as_deref(), view.finished_at.as_deref()),
        Err(fault) => Ended::unknown(&fault, request),
    }
}

fn group_id(text: &str) -> Result<DeploymentGroupId, Fault> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(80).collect();
        Fault::new(Reason::DeploymentGroupNotFound, format!("no deployment group `{shown}`"))
    })
}
