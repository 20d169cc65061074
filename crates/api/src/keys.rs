//! `/api/v1/keys`.

use axum::extract::State;
use axum::response::IntoResponse;
use faas_proto::rest::{CallerView, CreateKey, CreatedKey, KeyList, KeyView, Problem};
use faas_types::{Fault, InvalidId, KeyId, Reason};
use faas_web::{Authorized, Created, HandlerError, Json, PathParams, WithSecret};
use http::StatusCode;

use crate::state::ApiState;
use crate::views::key_view;

/// Lists keys, newest first. Their texts are not kept.
#[utoipa::path(get, path = "/api/v1/keys", operation_id = "keys.list", tag = "keys", responses((status = 200, body = KeyList)))]
pub(crate) async fn list_keys(State(state): State<ApiState>, Authorized(caller): Authorized) -> Json<KeyList> {
    Json(KeyList { keys: state.engine.keys().list(caller.project).into_iter().map(key_view).collect() })
}

/// Says whose key it is that the request carries.
#[utoipa::path(get, path = "/api/v1/whoami", operation_id = "keys.getOwn", tag = "keys", responses((status = 200, body = CallerView)))]
pub(crate) async fn whoami(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
) -> Result<Json<CallerView>, HandlerError> {
    let mut keys = state.engine.keys().list(caller.project).into_iter();
    let record = keys.find(|record| record.id == caller.key).ok_or_else(|| Fault::internal("a key is not listed"))?;
    Ok(Json(CallerView { project: caller.project.to_string(), key: key_view(record) }))
}

/// Makes a key and shows its text, once.
#[utoipa::path(post, path = "/api/v1/keys", operation_id = "keys.create", tag = "keys", request_body = CreateKey, responses((status = 201, body = CreatedKey, headers(("Location" = String, description = "the path of what was made")))))]
pub(crate) async fn create_key(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    Json(body): Json<CreateKey>,
) -> Result<impl IntoResponse, HandlerError> {
    let refuse = |message: &str| HandlerError(Fault::of_field(message));
    if !(1..=64).contains(&body.name.chars().count()) || body.name.chars().any(char::is_control) {
        return Err(refuse("name: use 1 to 64 characters"));
    }
    if body.scopes.is_empty() {
        return Err(refuse("scopes: name at least one, such as invoke"));
    }
    if let Some(scope) = body.scopes.iter().find(|scope| !caller.may(**scope)) {
        let message = format!("scopes: a key cannot give the scope {scope}, which it does not have");
        return Err(HandlerError(
            Fault::new(Reason::ScopeMissing, message).with_hint(format!("use a key with {scope}")),
        ));
    }
    let mut scopes = body.scopes;
    scopes.sort_unstable();
    scopes.dedup();
    let minted = state.engine.keys().mint(caller.project, &body.name, scopes).await?;
    let location = format!("/api/v1/keys/{}", minted.record.id);
    Ok(WithSecret("key", Created(location, CreatedKey { key: minted.text, view: key_view(minted.record) })))
}

/// Shows a key.
#[utoipa::path(get, path = "/api/v1/keys/{key}", operation_id = "keys.get", tag = "keys", params(("key" = String, Path, description = "the key's id")), responses(
    (status = 200, body = KeyView),
    (status = 404, description = "no such key", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn get_key(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
) -> Result<Json<KeyView>, HandlerError> {
    let id = key_id(&id)?;
    let found = state.engine.keys().list(caller.project).into_iter().find(|record| record.id == id);
    let record = found.ok_or_else(|| Fault::new(Reason::KeyNotFound, format!("no key `{id}`")))?;
    Ok(Json(key_view(record)))
}

/// Revokes a key; what it may do ends at once.
#[utoipa::path(delete, path = "/api/v1/keys/{key}", operation_id = "keys.revoke", tag = "keys", params(("key" = String, Path, description = "the key's id")), responses(
    (status = 204, description = "revoked"),
    (status = 404, description = "no such key, or it was revoked before", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "the caller's own key", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn revoke_key(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
) -> Result<StatusCode, HandlerError> {
    let id = key_id(&id)?;
    if id == caller.key {
        return Err(HandlerError(
            Fault::new(Reason::OwnKey, "a key cannot revoke itself")
                .with_hint("use another admin key to revoke this one"),
        ));
    }
    state.engine.keys().revoke(caller.project, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn key_id(text: &str) -> Result<KeyId, Fault> {
    text.parse().map_err(|error: InvalidId| Fault::new(Reason::KeyNotFound, format!("no such key: {error}")))
}
