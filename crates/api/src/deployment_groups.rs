//! `/api/v1/deployment-groups`: deployment groups.

use axum::extract::State;
use axum::response::Response;
use faas_engine::ProgressReceiver;
use faas_proto::rest::{DeployEvent, DeployGroupRequest, DeploymentGroupView, Problem, RollbackGroupRequest};
use faas_types::{DeploymentId, Fault, Reason};
use faas_web::{Authorized, HandlerError, Json, PathParams};

use crate::aliases::mover;
use crate::deploy::new_deployment;
use crate::deploy_stream::Wanted;
use crate::state::ApiState;

/// Deploys a group of functions: every version is sealed and loaded in a sandbox, then one commit moves `live` of all.
///
/// Who accepts `text/event-stream` gets events, as of a single function.
#[utoipa::path(post, path = "/api/v1/deployment-groups", operation_id = "deploymentGroups.create", tag = "deployments", request_body = DeployGroupRequest, responses(
    (status = 200, body = DeployEvent, content_type = "text/event-stream"),
    (status = 201, body = DeploymentGroupView),
    (status = 409, description = "another deployment of one of them is under way", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "a manifest is wrong or a version does not load; none has moved", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "too many functions", body = Problem, content_type = "application/problem+json"),
    (status = 504, description = "a version did not load in time", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "the disk is full, or the server is stopping", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn deploy_group(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    wanted: Wanted,
    Json(body): Json<DeployGroupRequest>,
) -> Result<Response, HandlerError> {
    let DeployGroupRequest { functions, note } = body;
    let mut receiver = ProgressReceiver::new();
    let new = |(index, function)| {
        let place = format!("/functions/{index}/manifest");
        new_deployment(&place, function, note.clone(), &caller, &mut receiver)
    };
    let news = functions.into_iter().enumerate().map(new).collect::<Result<Vec<_>, Fault>>()?;
    let engine = state.engine.clone();
    let deploying = async move { engine.deployments.deploy_group(caller.project, news).await };
    wanted.answer(receiver, deploying, move |deployed| state.group_view(deployed), |_| None).await
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
    Json(body): Json<RollbackGroupRequest>,
) -> Result<Json<DeploymentGroupView>, HandlerError> {
    let id: DeploymentId =
        id.parse().map_err(|error| Fault::new(Reason::DeploymentGroupNotFound, format!("{error}")))?;
    let deployed = state.engine.deployments.rollback_group(caller.project, id, body.note, mover(&caller)).await?;
    Ok(Json(state.group_view(&deployed)))
}
