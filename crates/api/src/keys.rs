//! `/api/v1/keys`.

use axum::extract::State;
use axum::response::IntoResponse;
use faas_engine::{Caller, KeyRecord, KeySettings};
use faas_proto::rest::{CallerView, CreateKey, CreatedKey, KeyList, KeyView, Problem, UpdateKey};
use faas_types::{Code, Fault, FunctionRef, InvalidId, InvalidName, KeyId, Reason, Scope, Timestamp};
use faas_web::{
    Authorized, Created, HandlerError, Json, Named, PathParams, Precondition, QueryParams, StateTag, Tagged, WithSecret,
};
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::page::{self, Order, PageQuery};
use crate::state::ApiState;
use crate::views::key_view;

/// Which keys to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct KeyFilter {
    /// Only whose name holds this text.
    #[param(max_length = 200)]
    q: Option<String>,
}

/// Lists keys, newest first. Their texts are not kept.
#[utoipa::path(get, path = "/api/v1/keys", operation_id = "keys.list", tag = "keys", params(KeyFilter, PageQuery), responses((status = 200, body = KeyList)))]
pub(crate) async fn list_keys(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    QueryParams(filter): QueryParams<KeyFilter>,
    query: PageQuery,
) -> Result<Json<KeyList>, HandlerError> {
    let page = query.of("keys", caller.project, Order::Desc)?;
    let text = page::searched(filter.q.as_deref())?;
    let keys = state.engine.keys().list(caller.project).into_iter();
    let found = keys.filter(|key| page::is_found(text.as_deref(), &[&key.settings.name]));
    // Ids rise with time.
    Ok(Json(page.cut(found, |key| key.id.to_string()).map(key_view)))
}

/// Says whose key it is that the request carries.
#[utoipa::path(get, path = "/api/v1/whoami", operation_id = "keys.getOwn", tag = "keys", responses((status = 200, body = CallerView)))]
pub(crate) async fn whoami(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
) -> Result<Json<CallerView>, HandlerError> {
    let record = state.engine.keys().get(caller.project, caller.key)?;
    Ok(Json(CallerView { project: caller.project.to_string(), key: key_view(record) }))
}

/// Makes a key and shows its text, once.
#[utoipa::path(post, path = "/api/v1/keys", operation_id = "keys.create", tag = "keys", request_body = CreateKey, responses((status = 201, body = CreatedKey, headers(("Location" = String, description = "the path of what was made")))))]
pub(crate) async fn create_key(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    Named(write): Named,
    Json(body): Json<CreateKey>,
) -> Result<impl IntoResponse, HandlerError> {
    check_scopes(&caller, &body.scopes)?;
    let settings = KeySettings {
        name: body.name,
        scopes: body.scopes,
        expires_at: body.expires_at.as_deref().map(time).transpose()?,
        functions: references(&body.functions)?,
    };
    let keys = state.engine.keys();
    let id = write.map(|write| write.id(0));
    let (key, record) = match id.and_then(|id| keys.get(caller.project, id).ok()) {
        // Made before the server died in the middle of this write; no caller has seen its text.
        Some(record) => (None, record),
        None => {
            let minted = keys.mint(caller.project, settings, id).await?;
            (Some(minted.text), minted.record)
        }
    };
    let location = format!("/api/v1/keys/{}", record.id);
    Ok(WithSecret("key", Created(location, CreatedKey { key, view: key_view(record) })))
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
) -> Result<Tagged<KeyView>, HandlerError> {
    Ok(tagged(state.engine.keys().get(caller.project, key_id(&id)?)?))
}

/// A key with the state of what people choose of it: that it was used changes nothing.
fn tagged(record: KeyRecord) -> Tagged<KeyView> {
    Tagged(StateTag::of(&record.settings), key_view(record))
}

/// Changes a key, at once: its name, scopes, end and functions.
#[utoipa::path(patch, path = "/api/v1/keys/{key}", operation_id = "keys.update", tag = "keys", params(("key" = String, Path, description = "the key's id")), request_body = UpdateKey, responses(
    (status = 200, body = KeyView),
    (status = 404, description = "no such key, or it was revoked before", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by another request at the same time", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn update_key(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    precondition: Precondition,
    Json(body): Json<UpdateKey>,
) -> Result<Tagged<KeyView>, HandlerError> {
    let change = |settings: KeySettings| {
        precondition.check(Some(StateTag::of(&settings)))?;
        // Nobody takes the key of somebody who may do more.
        check_scopes(&caller, &settings.scopes)?;
        check_scopes(&caller, body.scopes.as_deref().unwrap_or_default())?;
        let expires_at = match &body.expires_at {
            Some(end) => end.as_deref().map(time).transpose()?,
            None => settings.expires_at,
        };
        let functions = match &body.functions {
            Some(functions) => references(functions.as_deref().unwrap_or_default())?,
            None => settings.functions,
        };
        let (name, scopes) = (body.name.unwrap_or(settings.name), body.scopes.unwrap_or(settings.scopes));
        Ok(KeySettings { name, scopes, expires_at, functions })
    };
    let changed = state.engine.keys().change(caller.project, key_id(&id)?, change).await;
    let changed = changed.map_err(|fault| match fault.code {
        Code::Conflict if precondition.is_given() => Fault::new(Reason::PreconditionFailed, fault.message),
        _ => fault,
    })?;
    Ok(tagged(changed))
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
    check_scopes(&caller, &state.engine.keys().get(caller.project, id)?.settings.scopes)?;
    state.engine.keys().revoke(caller.project, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Refuses scopes that the caller does not have itself.
fn check_scopes(caller: &Caller, scopes: &[Scope]) -> Result<(), Fault> {
    let Some(scope) = scopes.iter().find(|scope| !caller.may(**scope)) else { return Ok(()) };
    let message = format!("scopes: a key has no say over the scope {scope}, which it does not have");
    Err(Fault::new(Reason::ScopeMissing, message).with_hint(format!("use a key with {scope}")))
}

fn time(text: &str) -> Result<Timestamp, Fault> {
    text.parse().map_err(|error: String| Fault::of_field(format!("expires_at: {error}")))
}

fn references(texts: &[String]) -> Result<Vec<FunctionRef>, Fault> {
    let reference = |(at, text): (usize, &String)| {
        text.parse().map_err(|error: InvalidName| Fault::of_field(format!("functions[{at}]: {error}")))
    };
    texts.iter().enumerate().map(reference).collect()
}

fn key_id(text: &str) -> Result<KeyId, Fault> {
    text.parse().map_err(|error: InvalidId| Fault::new(Reason::KeyNotFound, format!("no such key: {error}")))
}
