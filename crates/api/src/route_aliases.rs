//! Routes with a second name. Each does what the route that its description names does.

use axum::extract::State;
use axum::response::Response;
use faas_proto::rest::{DeployRequest, DeploymentView, Problem, SetVars, VarList};
use faas_web::{Authorized, HandlerError, Json, PathParams, Precondition, QueryParams, Tagged};
use http::StatusCode;

use crate::deploy::{Rehearsal, submit};
use crate::page::PageQuery;
use crate::secrets::OfStage;
use crate::state::ApiState;
use crate::stream::StreamRequest;
use crate::vars::{delete_var, list_vars, set_vars};
use crate::wait::Wait;

/// Deploys a version and waits for the end: an alias of `POST /api/v1/functions/{function}/deployments` with the longest `Prefer: wait`.
#[utoipa::path(post, path = "/api/v1/functions/{function}/deploy", operation_id = "functions.deploy", tag = "deployments",
    params(("function" = String, Path, description = "name, or id of an existing function"), Rehearsal),
    request_body = DeployRequest, responses(
    (status = 201, body = DeploymentView, headers(("Location" = String, description = "the path of the deployment"))),
    (status = 202, description = "it takes longer than the server waits", body = DeploymentView, headers(("Location" = String, description = "the path of the deployment"))),
    (status = 404, description = "no function of that id", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "another deployment is under way, or the alias is of another kind", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "the manifest is wrong, a file was not uploaded, or the version does not load", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "too many functions or aliases, or too many deployments wait", body = Problem, content_type = "application/problem+json"),
    (status = 504, description = "the version did not load in time", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "the disk is full, or the server is stopping", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn deploy(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    QueryParams(query): QueryParams<Rehearsal>,
    request: StreamRequest,
    Json(body): Json<DeployRequest>,
) -> Result<Response, HandlerError> {
    submit(state, caller, (id, body, query), (Wait::LONGEST, request.id)).await
}

/// Lists the vars of a function: an alias of `GET /api/v1/functions/{function}/vars`.
#[utoipa::path(get, path = "/api/v1/functions/{function}/env", operation_id = "functions.listEnv", tag = "vars",
    params(("function" = String, Path, description = "name or id"), OfStage, PageQuery), responses(
    (status = 200, body = VarList),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list_env(
    state: State<ApiState>,
    caller: Authorized,
    function: PathParams<String>,
    stage: QueryParams<OfStage>,
    query: PageQuery,
) -> Result<Tagged<VarList>, HandlerError> {
    list_vars(state, caller, function, stage, query).await
}

/// Sets vars of a function; others stay: an alias of `PATCH /api/v1/functions/{function}/vars`.
#[utoipa::path(post, path = "/api/v1/functions/{function}/env", operation_id = "functions.setEnv", tag = "vars",
    params(("function" = String, Path, description = "name or id"), OfStage), request_body = SetVars, responses(
    (status = 200, body = VarList),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn set_env(
    state: State<ApiState>,
    caller: Authorized,
    function: PathParams<String>,
    stage: QueryParams<OfStage>,
    precondition: Precondition,
    body: Json<SetVars>,
) -> Result<Tagged<VarList>, HandlerError> {
    set_vars(state, caller, function, stage, precondition, body).await
}

/// Removes a var of a function: an alias of `DELETE /api/v1/functions/{function}/vars/{var}`.
#[utoipa::path(delete, path = "/api/v1/functions/{function}/env/{var}", operation_id = "functions.deleteEnv", tag = "vars",
    params(("function" = String, Path, description = "name or id"), ("var" = String, Path, description = "the var's name"), OfStage), responses(
    (status = 204, description = "removed"),
    (status = 404, description = "no such function or var", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn delete_env(
    state: State<ApiState>,
    caller: Authorized,
    place: PathParams<(String, String)>,
    stage: QueryParams<OfStage>,
    precondition: Precondition,
) -> Result<StatusCode, HandlerError> {
    delete_var(state, caller, place, stage, precondition).await
}
