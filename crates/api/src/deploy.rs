//! `/api/v1/functions/{function}/deployments`, `/rollback` and `/api/v1/blobs`.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use faas_config::Manifest;
use faas_engine::{Caller, NewDeployment, Plan, PlanSubject, ProgressReceiver, Target};
use faas_proto::rest::{
    BundleFileBody, DeployEvent, DeployPlan, DeployPlanRequest, DeployRequest, DeploymentView, FunctionToDeploy,
    Problem, RollbackRequest,
};
use faas_types::{Bundle, BundleFile, Digest, Fault, FunctionName, Reason, Span, limits};
use faas_web::{Authorized, HandlerError, Json, PathParams, read_body};
use http::StatusCode;

use crate::aliases::{alias_name, mover};
use crate::deploy_stream::Wanted;
use crate::functions::function_name;
use crate::state::ApiState;

/// Tells which files of a coming deployment must be uploaded.
#[utoipa::path(post, path = "/api/v1/functions/{function}/deploy/plan", operation_id = "deployments.plan", tag = "deployments", params(("function" = String, Path, description = "the function's name")),
    request_body = DeployPlanRequest, responses(
    (status = 200, body = DeployPlan),
    (status = 404, description = "no function of that id", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn plan_deployment(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    Json(body): Json<DeployPlanRequest>,
) -> Result<Json<DeployPlan>, HandlerError> {
    let subject = PlanSubject::Function(name_of(&state, &caller, &id)?);
    Ok(Json(plan_view(&state.engine.uploads.plan(caller.project, &subject, &bundle(body.files)?).await?)))
}

/// Stores one file's bytes under their digest.
#[utoipa::path(put, path = "/api/v1/blobs/{digest}", operation_id = "blobs.put", tag = "deployments",
    params(("digest" = String, Path, description = "BLAKE3 of the body, 64 lowercase hexadecimal characters")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
    (status = 204, description = "stored"),
    (status = 503, description = "the disk is full, or the server is stopping", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn put_blob(
    State(state): State<ApiState>,
    Authorized(_): Authorized,
    PathParams(digest): PathParams<String>,
    request: Request<Body>,
) -> Result<StatusCode, HandlerError> {
    let wanted = parse_digest(&digest)?;
    let (parts, body) = request.into_parts();
    let bytes = read_body(&parts.headers, body, limits::BUNDLE_FILE_MAX).await?;
    let stored = state.engine.uploads.put(bytes, wanted).await;
    stored.map(|()| StatusCode::NO_CONTENT).map_err(HandlerError)
}

/// Deploys a version: seals it, loads its entrypoint in a sandbox, then moves its alias to it.
///
/// A version with a canary policy takes over from a live one step by step. Who accepts `text/event-stream` gets 200 and events
/// instead: `step` for what happens on the way, then `deployed` with what 201 has, or `failed` with a problem.
#[utoipa::path(post, path = "/api/v1/functions/{function}/deployments", operation_id = "deployments.create", tag = "deployments", params(("function" = String, Path, description = "name, or id of an existing function")),
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
pub(crate) async fn deploy_function(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    wanted: Wanted,
    Json(body): Json<DeployRequest>,
) -> Result<Response, HandlerError> {
    let name = name_of(&state, &caller, &id)?;
    let target = target(body.alias.as_deref(), body.preview, body.expires.as_deref())?;
    let mut receiver = ProgressReceiver::new();
    let function = FunctionToDeploy { manifest: body.manifest, origins: body.origins, files: body.files };
    let deployment = new_deployment("/manifest", function, body.note, &caller, &mut receiver)?;
    if deployment.name != name {
        return Err(HandlerError(Fault::of_field(format!(
            "name: the manifest is of `{}`, the path of `{name}`",
            deployment.name
        ))));
    }
    let deployment = NewDeployment { target, ..deployment };
    let engine = state.engine.clone();
    let deploying = async move { engine.deployments.deploy(caller.project, deployment).await };
    let location =
        |view: &DeploymentView| Some(format!("/api/v1/functions/{}/versions/{}", view.function, view.version));
    wanted.answer(receiver, deploying, move |deployed| state.deployment_view(deployed), location).await
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
    Json(body): Json<RollbackRequest>,
) -> Result<Json<DeploymentView>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let deployed = state.engine.deployments.rollback(&entry, body.version, body.note, mover(&caller)).await?;
    Ok(Json(state.deployment_view(&deployed)))
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

/// What a manifest and its files ask for: a version for `live`, with its progress events sent to the receiver. `place`
/// points to the manifest in the body.
pub(crate) fn new_deployment(
    place: &str,
    FunctionToDeploy { manifest, origins, files }: FunctionToDeploy,
    note: Option<String>,
    caller: &Caller,
    receiver: &mut ProgressReceiver,
) -> Result<NewDeployment, Fault> {
    let invalid = |errors: faas_config::ManifestErrors| errors.fault(Reason::InvalidManifest, place);
    let mut manifest = Manifest::from_json(manifest).map_err(invalid)?;
    if let Some(origins) = origins {
        manifest.take_origins(origins)?;
    }
    let declaration = manifest.declaration();
    let allowed_secrets = std::mem::take(&mut manifest.allowed_secrets);
    let (name, settings) = manifest.resolve()?;
    let (author, progress) = (Some(caller.author()), receiver.sender_for(&name));
    let new = NewDeployment::new(name, settings, bundle(files)?);
    Ok(NewDeployment { author, allowed_secrets, declaration, note, progress, ..new })
}

pub(crate) fn plan_view(plan: &Plan) -> DeployPlan {
    DeployPlan {
        missing: plan.missing.iter().map(ToString::to_string).collect(),
        bytes_total: plan.bytes_total,
        bytes_missing: plan.bytes_missing,
    }
}

pub(crate) fn bundle(files: Vec<BundleFileBody>) -> Result<Bundle, Fault> {
    let file = |file: BundleFileBody| {
        let digest = parse_digest(&file.digest)?;
        Ok(BundleFile { path: file.path, digest, size: file.size, executable: file.executable })
    };
    Ok(Bundle { files: files.into_iter().map(file).collect::<Result<_, Fault>>()? })
}

fn parse_digest(text: &str) -> Result<Digest, Fault> {
    text.parse().map_err(|error| Fault::of_field(format!("digest: {error}")))
}
