//! `/api/v1/functions/{function}/triggers`.

use axum::extract::{Request, State};
use axum::response::IntoResponse;
use faas_config::{Manifest, ManifestErrors};
use faas_engine::{FunctionEntry, TriggerChange, TriggerEntry, TriggerOrigin};
use faas_proto::rest::{
    AddTrigger, NextFireView, NextFires, PatchTrigger, Problem, RotateSecret, TestedTrigger, TriggerList, TriggerView,
    TriggerWithSecret,
};
use faas_types::{AliasName, Fault, FieldRule, Reason, Span, Timestamp, TriggerKind, TriggerSettings, limits};
use faas_web::{
    Authorized, Created, HandlerError, Json, Named, PathParams, Precondition, QueryParams, StateTag, Tagged,
    WithSecret, read_body,
};
use http::StatusCode;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

use crate::page::{self, Order, Page, PageQuery};
use crate::state::ApiState;

/// The answer to a trigger that was added.
type NewTrigger = WithSecret<Created<TriggerWithSecret>>;

/// Which triggers to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TriggerFilter {
    /// Only whose name, or whose function's, holds this text.
    #[param(max_length = 200)]
    q: Option<String>,
    /// Only of these types: `cron`, `webhook`, `event` and `queue`, with commas between them.
    #[param(value_type = Vec<String>, required = false, style = Form, explode = false, min_items = 1, max_items = 50)]
    r#type: Option<String>,
    /// Only those that are switched on, or off.
    enabled: Option<bool>,
}

/// Lists the triggers of all functions, by function and name. Those of type `http` are in the functions' settings.
#[utoipa::path(get, path = "/api/v1/triggers", operation_id = "triggers.listAll", tag = "triggers", params(TriggerFilter, PageQuery), responses((status = 200, body = TriggerList)))]
pub(crate) async fn list_all_triggers(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    QueryParams(filter): QueryParams<TriggerFilter>,
    query: PageQuery,
) -> Result<Json<TriggerList>, HandlerError> {
    let page = query.of("triggers", caller.project, Order::Asc)?;
    let functions = state.engine.catalog().matching(caller.project, |_| true).into_iter();
    let all = functions.flat_map(|function| {
        let entries = state.engine.triggers.of(function.record.id);
        entries.into_iter().map(move |entry| (Arc::clone(&function), entry))
    });
    Ok(Json(list(&state, &page, &filter, all)?))
}

/// Lists the triggers of a function that have a name, by name. Those of type `http` are in its settings.
#[utoipa::path(get, path = "/api/v1/functions/{function}/triggers", operation_id = "triggers.list", tag = "triggers", params(("function" = String, Path, description = "name or id"), TriggerFilter, PageQuery), responses(
    (status = 200, body = TriggerList),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list_triggers(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    QueryParams(filter): QueryParams<TriggerFilter>,
    query: PageQuery,
) -> Result<Json<TriggerList>, HandlerError> {
    let function = state.engine.catalog().find(caller.project, &id)?;
    let page = query.of("function-triggers", function.record.id, Order::Asc)?;
    let entries = state.engine.triggers.of(function.record.id).into_iter();
    Ok(Json(list(&state, &page, &filter, entries.map(|entry| (Arc::clone(&function), entry)))?))
}

/// A page of triggers with their functions, by function and name.
fn list(
    state: &ApiState,
    page: &Page,
    filter: &TriggerFilter,
    all: impl Iterator<Item = (Arc<FunctionEntry>, Arc<TriggerEntry>)>,
) -> Result<TriggerList, Fault> {
    let text = page::searched(filter.q.as_deref())?;
    let types = page::several::<TriggerKind>("type", filter.r#type.as_deref())?;
    let found = all.filter(|(function, entry)| {
        let record = &entry.record;
        filter.enabled.is_none_or(|enabled| record.enabled == enabled)
            && (types.is_empty() || types.contains(&record.settings.kind()))
            && page::is_found(text.as_deref(), &[record.name().as_str(), function.record.name.as_str()])
    });
    let by_name = |(function, entry): &(Arc<FunctionEntry>, Arc<TriggerEntry>)| {
        page::key([function.record.name.as_str(), entry.record.name().as_str()])
    };
    page.cut(found, by_name).try_map(|(function, entry)| view(state, &function, &entry))
}

/// Adds a trigger; deployments leave it alone. A webhook's secret is in this answer and nowhere else.
#[utoipa::path(post, path = "/api/v1/functions/{function}/triggers", operation_id = "triggers.create", tag = "triggers", params(("function" = String, Path, description = "name or id")),
    request_body = AddTrigger, responses(
    (status = 201, body = TriggerWithSecret, headers(("Location" = String, description = "the path of what was made"))),
    (status = 404, description = "no such function or alias", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "the name is taken", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "too many triggers", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "the disk is full, or the server is stopping", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn add_trigger(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    Named(write): Named,
    Json(body): Json<AddTrigger>,
) -> Result<NewTrigger, HandlerError> {
    let function = state.engine.catalog().find(caller.project, &id)?;
    let id = write.map(|write| write.id(0));
    if let Some(made) = id.and_then(|id| state.engine.triggers.by_id(id)) {
        // Made before the server died in the middle of this write; no caller has seen its secret.
        return created(view(&state, &function, &made)?, None);
    }
    let settings = settings(&state, &function, body.trigger)?;
    let alias = body.alias.as_deref().map_or(Ok(AliasName::live()), str::parse);
    let alias = alias.map_err(|error| Fault::of_field(format!("alias: {error}")))?;
    let (entry, secret) = state.engine.triggers.add(&function, alias, settings, body.secret.as_deref(), id).await?;
    created(view(&state, &function, &entry)?, secret.and_then(|secret| secret.text))
}

fn created(trigger: TriggerView, secret: Option<String>) -> Result<NewTrigger, HandlerError> {
    let location = format!("/api/v1/functions/{}/triggers/{}", trigger.function, trigger.name);
    Ok(WithSecret("secret", Created(location, TriggerWithSecret { secret, trigger })))
}

/// Shows a trigger.
#[utoipa::path(get, path = "/api/v1/functions/{function}/triggers/{trigger}", operation_id = "triggers.get", tag = "triggers",
    params(("function" = String, Path, description = "name or id"), ("trigger" = String, Path, description = "the trigger's name")), responses(
    (status = 200, body = TriggerView),
    (status = 404, description = "no such function or trigger", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn get_trigger(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams((id, name)): PathParams<(String, String)>,
) -> Result<Tagged<TriggerView>, HandlerError> {
    let (function, entry) = find(&state, &caller, &id, &name)?;
    Ok(Tagged(StateTag::at(entry.revision), view(&state, &function, &entry)?))
}

/// Changes a trigger as RFC 7396 has it: what the body leaves out stays, `null` resets. Deployments leave alone whether it is on; the
/// alias and settings of a trigger of the manifest are changed there.
#[utoipa::path(patch, path = "/api/v1/functions/{function}/triggers/{trigger}", operation_id = "triggers.update", tag = "triggers",
    params(("function" = String, Path, description = "name or id"), ("trigger" = String, Path, description = "the trigger's name")),
    request_body = PatchTrigger, responses(
    (status = 200, body = TriggerView),
    (status = 404, description = "no such function or trigger", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "the disk is full, or the server is stopping", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn update_trigger(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams((id, name)): PathParams<(String, String)>,
    precondition: Precondition,
    Json(body): Json<PatchTrigger>,
) -> Result<Tagged<TriggerView>, HandlerError> {
    let (function, entry) = find(&state, &caller, &id, &name)?;
    precondition.check(Some(StateTag::at(entry.revision)))?;
    let change = change(&function, &entry, body)?;
    // Merged settings are those of the state that was read.
    let is_pinned = precondition.is_given() || change.settings.is_some();
    let entry = state.engine.triggers.change(&entry, change, is_pinned).await?;
    Ok(Tagged(StateTag::at(entry.revision), view(&state, &function, &entry)?))
}

fn change(function: &FunctionEntry, entry: &TriggerEntry, body: PatchTrigger) -> Result<TriggerChange, Fault> {
    let alias = match body.alias {
        None => None,
        Some(None) => Some(AliasName::live()),
        Some(Some(text)) => Some(alias_of(function, &text)?),
    };
    let settings = match body.settings {
        None => None,
        Some(patch) => Some(merged(entry, patch)?),
    };
    Ok(TriggerChange { enabled: body.enabled.map(|enabled| enabled.unwrap_or(true)), alias, settings })
}

/// An alias that the function has.
fn alias_of(function: &FunctionEntry, text: &str) -> Result<AliasName, Fault> {
    let alias: AliasName = text.parse().map_err(|error| Fault::of_field(format!("alias: {error}")))?;
    if alias == AliasName::live() || function.record.aliases.contains_key(&alias) {
        return Ok(alias);
    }
    let name = &function.record.name;
    Err(Fault::new(Reason::AliasNotFound, format!("alias: `{name}` has no alias `{alias}`")))
}

/// The settings of a trigger with a patch merged in; its name and type stay.
fn merged(entry: &TriggerEntry, patch: serde_json::Map<String, serde_json::Value>) -> Result<TriggerSettings, Fault> {
    let broken = |error: serde_json::Error| Fault::internal(format!("settings of a trigger do not encode: {error}"));
    let mut whole = serde_json::to_value(&entry.record.settings).map_err(broken)?;
    // A manifest leaves out what it does not narrow.
    if let Some(fields) = whole.as_object_mut() {
        fields.retain(|_, value| value.as_array().is_none_or(|list| !list.is_empty()));
    }
    // A manifest has both parts of a schedule beside the other keys.
    if let Some([expression, timezone]) = parts_of_schedule(&whole) {
        (whole["schedule"], whole["timezone"]) = (expression, timezone);
    }
    let before = [&whole["name"], &whole["type"]].map(Clone::clone);
    merge(&mut whole, serde_json::Value::Object(patch));
    if before != [&whole["name"], &whole["type"]].map(Clone::clone) {
        return Err(Fault::of_field("settings: a trigger keeps its name and type; delete it and add another"));
    }
    Manifest::trigger_from_json(whole)
        .map_err(|errors: ManifestErrors| errors.fault(Reason::InvalidTrigger, "/settings"))
}

fn parts_of_schedule(settings: &serde_json::Value) -> Option<[serde_json::Value; 2]> {
    let schedule = settings.get("schedule")?.as_object()?;
    Some([schedule.get("expression")?.clone(), schedule.get("timezone")?.clone()])
}

/// Merges as RFC 7396 says.
fn merge(target: &mut serde_json::Value, patch: serde_json::Value) {
    let serde_json::Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = serde_json::Value::Object(serde_json::Map::new());
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (field, value) in patch {
        if value.is_null() {
            fields.remove(&field);
        } else {
            merge(fields.entry(field).or_insert(serde_json::Value::Null), value);
        }
    }
}

/// Removes a trigger that was added by hand.
#[utoipa::path(delete, path = "/api/v1/functions/{function}/triggers/{trigger}", operation_id = "triggers.delete", tag = "triggers",
    params(("function" = String, Path, description = "name or id"), ("trigger" = String, Path, description = "the trigger's name")), responses(
    (status = 204, description = "removed"),
    (status = 404, description = "no such function or trigger", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "it is of the manifest", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn remove_trigger(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams((id, name)): PathParams<(String, String)>,
    precondition: Precondition,
) -> Result<StatusCode, HandlerError> {
    let (_, entry) = find(&state, &caller, &id, &name)?;
    precondition.check(Some(StateTag::at(entry.revision)))?;
    state.engine.triggers.remove(&entry, precondition.is_given()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a webhook another secret. The one before stays good for a while, so that the sender can be changed.
#[utoipa::path(post, path = "/api/v1/functions/{function}/triggers/{trigger}/rotate-secret", operation_id = "triggers.rotateSecret", tag = "triggers",
    params(("function" = String, Path, description = "name or id"), ("trigger" = String, Path, description = "the trigger's name")),
    request_body = RotateSecret, responses(
    (status = 200, body = TriggerWithSecret),
    (status = 404, description = "no such function or trigger", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "the disk is full, or the server is stopping", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn rotate_secret(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams((id, name)): PathParams<(String, String)>,
    Json(body): Json<RotateSecret>,
) -> Result<WithSecret<Json<TriggerWithSecret>>, HandlerError> {
    let (function, entry) = find(&state, &caller, &id, &name)?;
    let keep = body.keep.as_deref().map(str::parse::<Span>).transpose();
    let keep = keep.map_err(|error| Fault::of_field(format!("keep: {error}")))?;
    let (entry, secret) =
        state.engine.triggers.rotate_secret(&entry, body.secret.as_deref(), keep.map(Span::get)).await?;
    let trigger = view(&state, &function, &entry)?;
    Ok(WithSecret("secret", Json(TriggerWithSecret { secret: secret.text, trigger })))
}

/// Fires a trigger once, now. A webhook gets the body as a delivery that is signed with its current secret.
#[utoipa::path(post, path = "/api/v1/functions/{function}/triggers/{trigger}/test", operation_id = "triggers.test", tag = "triggers",
    params(("function" = String, Path, description = "name or id"), ("trigger" = String, Path, description = "the trigger's name")),
    request_body(content = Option<serde_json::Value>, description = "what is delivered", content_type = "application/json"), responses(
    (status = 202, body = TestedTrigger),
    (status = "4XX", description = "it cannot be fired", body = Problem, content_type = "application/problem+json"),
    (status = "5XX", description = "the function failed, or cannot be called now", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn test_trigger(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams((id, name)): PathParams<(String, String)>,
    request: Request,
) -> Result<impl IntoResponse, HandlerError> {
    let (_, entry) = find(&state, &caller, &id, &name)?;
    let (parts, body) = request.into_parts();
    let body = read_body(&parts.headers, body, limits::BODY_MAX).await?;
    let run = state.engine.triggers.test(&entry, body).await.map_err(|failure| failure.fault)?;
    Ok((StatusCode::ACCEPTED, Json(TestedTrigger { run_id: run.to_string() })))
}

/// Tells when a schedule fires next; empty for other triggers and for one that is switched off.
#[utoipa::path(get, path = "/api/v1/functions/{function}/triggers/{trigger}/next", operation_id = "triggers.listNextFires", tag = "triggers",
    params(("function" = String, Path, description = "name or id"), ("trigger" = String, Path, description = "the trigger's name"), PageQuery), responses(
    (status = 200, body = NextFires),
    (status = 404, description = "no such function or trigger", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn next_fires(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams((id, name)): PathParams<(String, String)>,
    query: PageQuery,
) -> Result<Json<NextFires>, HandlerError> {
    let (_, entry) = find(&state, &caller, &id, &name)?;
    let page = query.of("next-fires", entry.record.id, Order::Asc)?.only(Order::Asc)?;
    let after = page.after()?.map(Timestamp::from_millis);
    let fires = state.engine.triggers.next_fires(&entry, after, page.wanted());
    let found = page.of_found(fires, |at| at.as_millis().to_string());
    Ok(Json(found.map(|at| NextFireView { fires_at: at.to_string() })))
}

fn find(
    state: &ApiState,
    caller: &faas_engine::Caller,
    id: &str,
    name: &str,
) -> Result<(Arc<FunctionEntry>, Arc<TriggerEntry>), Fault> {
    let function = state.engine.catalog().find(caller.project, id)?;
    let entry = state.engine.triggers.find(function.record.id, name)?;
    Ok((function, entry))
}

/// Reads a trigger as a manifest would; without a name it gets the first free one of its type.
fn settings(
    state: &ApiState,
    function: &FunctionEntry,
    mut trigger: serde_json::Map<String, serde_json::Value>,
) -> Result<TriggerSettings, Fault> {
    if let (None, Some(kind)) = (trigger.get("name"), trigger.get("type").and_then(|kind| kind.as_str())) {
        let taken = state.engine.triggers.of(function.record.id);
        let free = (1..=taken.len() + 1).map(|number| format!("{kind}-{number}"));
        let free = free.into_iter().find(|name| taken.iter().all(|entry| entry.record.name().as_str() != name));
        // A type that is none is told of below, and not its name.
        let free = free.filter(|_| ["cron", "webhook", "event", "queue"].contains(&kind));
        trigger.extend(free.map(|name| ("name".to_owned(), name.into())));
    }
    Manifest::trigger_from_json(trigger.into()).map_err(|errors: ManifestErrors| {
        let fault = errors.fault(Reason::InvalidTrigger, "");
        let is_of_keys =
            fault.errors.iter().any(|error| matches!(error.rule, FieldRule::Unknown | FieldRule::Required));
        let hint = "its keys are those of [[triggers]] in a manifest: /schema/faas.toml.json";
        if is_of_keys { fault.with_hint(hint) } else { fault }
    })
}

fn view(state: &ApiState, function: &FunctionEntry, entry: &TriggerEntry) -> Result<TriggerView, Fault> {
    let record = &entry.record;
    let seen = state.engine.triggers.state(entry);
    let token = state.engine.triggers.webhook_token(entry)?;
    let origin = match record.origin {
        TriggerOrigin::Manifest => "manifest",
        TriggerOrigin::Api => "api",
    };
    Ok(TriggerView {
        id: record.id.to_string(),
        function: function.record.name.to_string(),
        function_id: function.record.id.to_string(),
        name: record.name().to_string(),
        alias: record.alias.to_string(),
        origin: origin.to_owned(),
        enabled: record.enabled,
        settings: record.settings.clone(),
        url: token.map(|token| format!("{}/hooks/{token}", state.public_url)),
        secrets: record.credentials.as_ref().map(|_| state.engine.triggers.live_secrets(entry)),
        next: state.engine.triggers.next_fires(entry, None, 1).first().map(ToString::to_string),
        last_run: seen.last_run.map(|run| run.to_string()),
        fired_at: seen.fired_at.map(|at| at.to_string()),
        fired: seen.fired,
        skipped: seen.skipped,
        refused: seen.refused,
        refused_at: seen.refused_at.map(|at| at.to_string()),
        refusal: seen.refusal,
        created_at: record.created_at.to_string(),
        updated_at: record.updated_at.to_string(),
    })
}
