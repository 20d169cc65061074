//! Routes with a second name. Each does what the route that its description names does.

use axum::extract::State;
use axum::response::Response;
use faas_proto::rest::{DeployEvent, DeployRequest, DeploymentView, Problem, SetVars, VarList};
use faas_web::{Authorized, HandlerError, Json, PathParams, QueryParams};
use http::StatusCode;

use crate::deploy::deploy_function;
use crate::deploy_stream::Wanted;
use crate::secrets::OfStage;
use crate::state::ApiState;
use crate::vars::{delete_var, list_vars, set_vars};

/// Deploys a version: an alias of `POST /api/v1/functions/{function}/deployments`.
#[utoipa::path(post, path = "/api/v1/functions/{function}/deploy", operation_id = "functions.deploy", tag = "deployments", params(("function" = String, Path, description = "name, or id of an existing function")),
    request_body = DeployRequest, responses(
    (status = 200, body = DeployEvent, content_type = "text/event-stream"),
    (status = 201, body = DeploymentView, headers(("Location" = String, description = "the path of the version"))),
    (status = 404, description = "no function of that id", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "another deployment is under way, or the alias is of another kind", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "the manifest is wrong or the version does not load", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "too many functions or aliases", body = Problem, content_type = "application/problem+json"),
    (status = 504, description = "the version did not load in time", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "the disk is full, or the server is stopping", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn deploy(
    state: State<ApiState>,
    caller: Authorized,
    function: PathParams<String>,
    wanted: Wanted,
    body: Json<DeployRequest>,
) -> Result<Response, HandlerError> {
    deploy_function(state, caller, function, wanted, body).await
}

/// Lists the vars of a function: an alias of `GET /api/v1/functions/{function}/vars`.
#[utoipa::path(get, path = "/api/v1/functions/{function}/env", operation_id = "functions.listEnv", tag = "vars",
    params(("function" = String, Path, description = "name or id"), OfStage), responses(
    (status = 200, body = VarList),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list_env(
    state: State<ApiState>,
    caller: Authorized,
    function: PathParams<String>,
    stage: QueryParams<OfStage>,
) -> Result<Json<VarList>, HandlerError> {
    list_vars(state, caller, function, stage).await
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
    body: Json<SetVars>,
) -> Result<Json<VarList>, HandlerError> {
    set_vars(state, caller, function, stage, body).await
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
) -> Result<StatusCode, HandlerError> {
    delete_var(state, caller, place, stage).await
}
