//! Asking for a deployment, and going back: `/api/v1/functions/{function}/deployments` and `/rollback`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use faas_config::Manifest;
use faas_engine::{AcceptOptions, Caller, NewDeployment, Target};
use faas_proto::rest::{DeployRequest, DeploymentView, FunctionToDeploy, Problem, RollbackRequest};
use faas_types::{Fault, FunctionName, Reason, Span, limits};
use faas_web::{Authorized, Created, HandlerError, Json, PathParams, QueryParams, RequestId};
use http::StatusCode;
use http::header::LOCATION;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::aliases::{alias_name, mover};
use crate::blobs::bundle;
use crate::functions::function_name;
use crate::state::ApiState;
use crate::stream::StreamRequest;
use crate::wait::Wait;

/// How a deployment is carried out.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Rehearsal {
    /// Do all but the move: files are sealed and searched, packages installed, the entrypoint loaded.
    pub(crate) dry_run: Option<bool>,
}

/// Deploys a version: seals it, loads its entrypoint in a sandbox, then moves its alias to it.
///
/// The answer is 202 and the deployment, which goes on by itself: follow it at `…/events`, or ask for it again. With `Prefer: wait=60` the answer
/// waits so long for the end: 201 when it has succeeded, its problem when it has failed. A version with a canary policy takes over from a live
/// one step by step.
#[utoipa::path(post, path = "/api/v1/functions/{function}/deployments", operation_id = "deployments.create", tag = "deployments",
    params(("function" = String, Path, description = "name, or id of an existing function"), Rehearsal,
        ("Prefer" = Option<String>, Header, description = "`wait=60` waits so many seconds for the end")),
    request_body = DeployRequest, responses(
    (status = 201, description = "it has succeeded while the answer waited", body = DeploymentView, headers(("Location" = String, description = "the path of the deployment"))),
    (status = 202, description = "it is under way", body = DeploymentView, headers(("Location" = String, description = "the path of the deployment"))),
    (status = 404, description = "no function of that id", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "another deployment is under way, or the alias is of another kind", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "the manifest is wrong, a file was not uploaded, or the version does not load", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "too many functions or aliases, or too many deployments wait", body = Problem, content_type = "application/problem+json"),
    (status = 504, description = "the version did not load in time", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "the disk is full, or the server is stopping", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn create_deployment(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    QueryParams(query): QueryParams<Rehearsal>,
    wait: Wait,
    request: StreamRequest,
    Json(body): Json<DeployRequest>,
) -> Result<Response, HandlerError> {
    submit(state, caller, (id, body, query), (wait, request.id)).await
}

/// Accepts a deployment, and waits for its end as long as is wanted.
pub(crate) async fn submit(
    state: ApiState,
    caller: Arc<Caller>,
    (id, body, query): (String, DeployRequest, Rehearsal),
    (wait, request): (Wait, RequestId),
) -> Result<Response, HandlerError> {
    let name = name_of(&state, &caller, &id)?;
    let target = target(body.alias.as_deref(), body.preview, body.expires.as_deref())?;
    let function = FunctionToDeploy { manifest: body.manifest, origins: body.origins, files: body.files };
    let deployment = new_deployment("/manifest", function, body.note, &caller)?;
    if deployment.name != name {
        return Err(HandlerError(Fault::of_field(format!(
            "name: the manifest is of `{}`, the path of `{name}`",
            deployment.name
        ))));
    }
    let deployment = NewDeployment { target, ..deployment };
    let project = caller.project;
    let deployments = &state.engine.deployments;
    let accepted = deployments.accept(project, deployment, options(&query, &request)).await?;
    let has_ended = match wait.for_end(accepted.ended()).await {
        Some(ended) => ended.map(|_| true)?,
        None => false,
    };
    let view = state.deployment_view(project, &deployments.find(project, accepted.id).await?, &request).await?;
    Ok(wait.applied(answer(has_ended, format!("/api/v1/deployments/{}", accepted.id), view)))
}

/// What was accepted: 201 once it has succeeded, 202 while it goes on.
pub(crate) fn answer<T: serde::Serialize>(has_ended: bool, location: String, view: T) -> Response {
    if has_ended {
        return Created(location, view).into_response();
    }
    (StatusCode::ACCEPTED, [(LOCATION, location)], Json(view)).into_response()
}

pub(crate) fn options(query: &Rehearsal, request: &RequestId) -> AcceptOptions {
    AcceptOptions { dry_run: query.dry_run.unwrap_or(false), request_id: Some(request.as_str().to_owned()) }
}

/// Moves `live` back to an earlier version, or ends a canary that is under way.
#[utoipa::path(post, path = "/api/v1/functions/{function}/rollback", operation_id = "functions.rollback", tag = "deployments", params(("function" = String, Path, description = "name or id")),
    request_body = RollbackRequest, responses(
    (status = 200, body = DeploymentView),
    (status = 404, description = "no such function or version", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn rollback_function(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    request: StreamRequest,
    Json(body): Json<RollbackRequest>,
) -> Result<Json<DeploymentView>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let deployed = state.engine.deployments.rollback(&entry, body.version, body.note, mover(&caller)).await?;
    Ok(Json(state.deployment_view(caller.project, &deployed.deployment, &request.id).await?))
}

/// The function that a deployment's path names: by name, also one that is to be made, or by id.
fn name_of(state: &ApiState, caller: &Caller, id: &str) -> Result<FunctionName, Fault> {
    match state.engine.catalog().find(caller.project, id) {
        Ok(entry) => Ok(entry.record.name.clone()),
        Err(fault) if id.starts_with("fn_") => Err(fault),
        Err(_) => function_name(id),
    }
}

/// The alias that a deployment asks for.
fn target(alias: Option<&str>, preview: bool, expires: Option<&str>) -> Result<Target, Fault> {
    let invalid = |message: &str| Fault::of_field(message);
    let alias = alias.map(alias_name).transpose()?;
    match (alias, preview, expires) {
        (None, true, _) => Err(invalid("alias: a preview needs a name")),
        (_, false, Some(_)) => Err(invalid("expires: only a preview ends by itself").with_hint("add preview: true")),
        (alias, false, None) => Ok(alias.map_or_else(Target::live, Target::Alias)),
        (Some(alias), true, expires) => {
            let span = expires.map(str::parse::<Span>).transpose();
            let span = span.map_err(|error| invalid(&format!("expires: {error}")))?;
            let keep = span.map_or(limits::PREVIEW_AGE_DEFAULT, Span::get);
            if !(Duration::from_secs(1)..=limits::PREVIEW_AGE_MAX).contains(&keep) {
                return Err(invalid("expires: a preview ends after 1s to 90d"));
            }
            Ok(Target::Preview(alias, keep))
        }
    }
}

/// What a manifest and its files ask for: a version for `live`. `place` points to the manifest in the body.
pub(crate) fn new_deployment(
    place: &str,
    FunctionToDeploy { manifest, origins, files }: FunctionToDeploy,
    note: Option<String>,
    caller: &Caller,
) -> Result<NewDeployment, Fault> {
    let invalid = |errors: faas_config::ManifestErrors| errors.fault(Reason::InvalidManifest, place);
    let mut manifest = Manifest::from_json(manifest).map_err(invalid)?;
    if let Some(origins) = origins {
        manifest.take_origins(origins)?;
    }
    let declaration = manifest.declaration();
    let allowed_secrets = std::mem::take(&mut manifest.allowed_secrets);
    let (name, settings) = manifest.resolve()?;
    let author = Some(caller.author());
    let new = NewDeployment::new(name, settings, bundle(files)?);
    Ok(NewDeployment { author, allowed_secrets, declaration, note, ..new })
}
