//! `/api/v1/secrets` and `/api/v1/system/encryption-key/rotate`.

use axum::extract::State;
use faas_engine::SecretSummary;
use faas_ports::Secret;
use faas_proto::rest::{
    EncryptionKeyReport, Problem, RestoreSecret, SecretList, SecretVersionView, SecretView, SetSecret,
};
use faas_types::{Fault, Reason, SecretName, Stage};
use faas_web::{Authorized, HandlerError, Json, PathParams, QueryParams};
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::page::{self, Order, PageQuery};
use crate::state::ApiState;

/// Users that are named.
const USERS_MAX: usize = 100;

/// Whose vars or secrets.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfStage {
    /// The stage; `prod` where absent.
    #[serde(default)]
    #[param(inline)]
    pub(crate) stage: Stage,
}

/// Which secrets to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Seen {
    /// Those that this stage sees, inherited ones included; those of every stage where absent.
    #[param(inline)]
    stage: Option<Stage>,
    /// Only whose name holds this text.
    #[param(max_length = 200)]
    q: Option<String>,
}

/// Which secret to forget.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RetentionMetrics {
    /// The stage; `prod` where absent.
    #[serde(default)]
    #[param(inline)]
    stage: Stage,
    /// Also when functions use it, whose new instances do not start then.
    #[serde(default)]
    force: bool,
}

/// Lists secrets, without their values.
#[utoipa::path(get, path = "/api/v1/secrets", operation_id = "secrets.list", tag = "secrets", params(Seen, PageQuery), responses((status = 200, body = SecretList)))]
pub(crate) async fn list_secrets(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    QueryParams(seen): QueryParams<Seen>,
    query: PageQuery,
) -> Result<Json<SecretList>, HandlerError> {
    let page = query.of("secrets", caller.project, Order::Asc)?;
    let text = page::searched(seen.q.as_deref())?;
    let secrets = state.engine.secrets.list(caller.project, seen.stage).await?.into_iter();
    let found = secrets.filter(|secret| page::is_found(text.as_deref(), &[secret.name.as_str()]));
    let by_name = |secret: &SecretSummary| page::key([secret.name.as_str(), secret.stage.as_str()]);
    Ok(Json(page.cut(found, by_name).map(|secret| view(&secret))))
}

/// Shows a secret with its versions, without their values.
#[utoipa::path(get, path = "/api/v1/secrets/{secret}", operation_id = "secrets.get", tag = "secrets",
    params(("secret" = String, Path, description = "the secret's name"), OfStage), responses(
    (status = 200, body = SecretView),
    (status = 404, description = "the stage sees no such secret", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn get_secret(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(text): PathParams<String>,
    QueryParams(of): QueryParams<OfStage>,
) -> Result<Json<SecretView>, HandlerError> {
    Ok(Json(view(&state.engine.secrets.get(caller.project, of.stage, &known(&text)?).await?)))
}

/// Gives a secret another value, or makes it. Instances that use it are replaced; nothing has to be deployed.
#[utoipa::path(put, path = "/api/v1/secrets/{secret}", operation_id = "secrets.set", tag = "secrets",
    params(("secret" = String, Path, description = "of A-Z, a-z, 0-9 and _, not starting with a digit"), OfStage),
    request_body = SetSecret, responses(
    (status = 200, body = SecretView),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "too many secrets", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn set_secret(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(text): PathParams<String>,
    QueryParams(of): QueryParams<OfStage>,
    Json(body): Json<SetSecret>,
) -> Result<Json<SecretView>, HandlerError> {
    let value = Secret::new(body.value.as_bytes().to_vec());
    Ok(Json(view(&state.engine.secrets.set(caller.project, of.stage, &name(&text)?, value).await?)))
}

/// Forgets a secret with all its versions.
#[utoipa::path(delete, path = "/api/v1/secrets/{secret}", operation_id = "secrets.delete", tag = "secrets",
    params(("secret" = String, Path, description = "the secret's name"), RetentionMetrics), responses(
    (status = 204, description = "forgotten"),
    (status = 404, description = "the stage itself has no such secret", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "functions use it", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn unset_secret(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(text): PathParams<String>,
    QueryParams(which): QueryParams<RetentionMetrics>,
) -> Result<StatusCode, HandlerError> {
    state.engine.secrets.unset(caller.project, which.stage, &known(&text)?, which.force).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a secret an earlier value again, as a version of its own.
#[utoipa::path(post, path = "/api/v1/secrets/{secret}/restore", operation_id = "secrets.restore", tag = "secrets",
    params(("secret" = String, Path, description = "the secret's name"), OfStage), request_body = RestoreSecret, responses(
    (status = 200, body = SecretView),
    (status = 404, description = "no such secret, or the version is not kept", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
    (status = 502, description = "its value does not open", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn restore_secret(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(text): PathParams<String>,
    QueryParams(of): QueryParams<OfStage>,
    Json(body): Json<RestoreSecret>,
) -> Result<Json<SecretView>, HandlerError> {
    Ok(Json(view(&state.engine.secrets.restore(caller.project, of.stage, &name(&text)?, body.version).await?)))
}

/// Makes a new encryption key and seals everything anew under it: secrets, and those of webhooks and callbacks. Old keys
/// stay, for what backups hold. Where it is broken off, everything is readable; another call finishes it.
#[utoipa::path(post, path = "/api/v1/system/encryption-key/rotate", operation_id = "system.rotateEncryptionKey", tag = "secrets", responses(
    (status = 200, body = EncryptionKeyReport),
))]
pub(crate) async fn rekey(
    State(state): State<ApiState>,
    Authorized(_): Authorized,
) -> Result<Json<EncryptionKeyReport>, HandlerError> {
    let engine = state.engine.clone();
    // In a task of its own: a caller that goes away does not leave it half done.
    let done = tokio::spawn(async move { engine.rekeyer.rekey().await }).await;
    let done = done.map_err(|error| Fault::internal(format!("the change of the key broke off: {error}")))??;
    Ok(Json(EncryptionKeyReport { resealed: done.resealed, unreadable: done.unreadable }))
}

fn name(text: &str) -> Result<SecretName, Fault> {
    text.parse().map_err(|error: faas_types::InvalidName| Fault::of_field(format!("name: {error}")))
}

/// The name of a secret that is to be there: a text that is no name is none of them.
fn known(text: &str) -> Result<SecretName, Fault> {
    text.parse().map_err(|error: faas_types::InvalidName| Fault::new(Reason::SecretNotFound, error.to_string()))
}

fn view(secret: &faas_engine::SecretSummary) -> SecretView {
    let version = |version: &faas_engine::SecretVersion| SecretVersionView {
        version: version.number,
        created_at: version.made_at.to_string(),
        restored_from: version.restored_from,
    };
    SecretView {
        name: secret.name.to_string(),
        stage: secret.stage,
        version: secret.record.made,
        versions: secret.record.versions.iter().map(version).collect(),
        created_at: secret.record.created_at.to_string(),
        updated_at: secret.record.updated_at.to_string(),
        used_by: secret.used_by.as_ref().map(|users| users.iter().take(USERS_MAX).cloned().collect()),
    }
}
