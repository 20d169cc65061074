//! `/api/v1/functions/{function}/aliases` and `/rollout`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use faas_engine::{AliasWish, Caller, FunctionEntry};
use faas_proto::rest::{AliasList, AliasTarget, AliasView, DeploymentView, EndRollout, Problem, RolloutView, SetAlias};
use faas_types::{Affinity, AliasName, Fault, Mover, Permille, Reason, Split};
use faas_web::{Authorized, HandlerError, Json, PathParams, Precondition, StateTag, Tagged};
use http::StatusCode;
use http::header::LOCATION;

use crate::functions::for_write;
use crate::page::{Order, PageQuery};
use crate::state::ApiState;
use crate::stream::StreamRequest;
use crate::views::policy_view;

/// Lists the aliases of a function by name, previews among them.
#[utoipa::path(get, path = "/api/v1/functions/{function}/aliases", operation_id = "aliases.list", tag = "aliases", params(("function" = String, Path, description = "name or id"), PageQuery), responses(
    (status = 200, body = AliasList),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list_aliases(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    query: PageQuery,
) -> Result<Json<AliasList>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let page = query.of("aliases", entry.record.id, Order::Asc)?;
    let mut found = page.cut(state.alias_views(&entry), |alias| alias.name.clone());
    for view in &mut found.items {
        *view = state.served_alias(&entry, view.clone()).await?;
    }
    Ok(Json(found))
}

/// Shows an alias.
#[utoipa::path(get, path = "/api/v1/functions/{function}/aliases/{alias}", operation_id = "aliases.get", tag = "aliases",
    params(("function" = String, Path, description = "name or id"), ("alias" = String, Path, description = "the alias's name")), responses(
    (status = 200, body = AliasView),
    (status = 404, description = "no such function or alias", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn get_alias(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams((id, alias)): PathParams<(String, String)>,
) -> Result<Tagged<AliasView>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    Ok(tagged(&state, &entry, &alias).await?)
}

/// An alias with its state.
async fn tagged(state: &ApiState, entry: &FunctionEntry, alias: &str) -> Result<Tagged<AliasView>, Fault> {
    let tag = state_of(entry, alias).ok_or_else(|| no_alias(entry, alias))?;
    Ok(Tagged(tag, view(state, entry, alias).await?))
}

fn state_of(entry: &FunctionEntry, alias: &str) -> Option<StateTag> {
    let found = entry.record.aliases.iter().find(|(name, _)| name.as_str() == alias);
    found.map(|(_, alias)| StateTag::of(alias))
}

/// Points an alias to a version, or to two by weight; makes the alias where there is none.
#[utoipa::path(put, path = "/api/v1/functions/{function}/aliases/{alias}", operation_id = "aliases.set", tag = "aliases",
    params(("function" = String, Path, description = "name or id"), ("alias" = String, Path, description = "the alias's name")),
    request_body = SetAlias, responses(
    (status = 200, body = AliasView, headers(("ETag" = String, description = "the state, for `If-Match`"))),
    (status = 201, description = "the alias was made", body = AliasView, headers(("Location" = String, description = "the path of what was made"))),
    (status = 412, description = "not the state that `If-Match` or `If-None-Match` names", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "no such function or version", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "a preview, or changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "too many aliases", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn set_alias(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams((id, alias)): PathParams<(String, String)>,
    precondition: Precondition,
    Json(body): Json<SetAlias>,
) -> Result<Response, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let name = alias_name(&alias)?;
    let is_new = !entry.record.aliases.contains_key(&name);
    let entry = for_write(Arc::clone(&entry), &precondition, state_of(&entry, &alias))?;
    let entry = state.engine.deployments.set_alias(&entry, &name, wish(body, mover(&caller))?).await?;
    let mut response = tagged(&state, &entry, &alias).await?.into_response();
    if is_new {
        *response.status_mut() = StatusCode::CREATED;
        let location = format!("/api/v1/functions/{}/aliases/{name}", entry.record.name);
        if let Ok(location) = location.try_into() {
            response.headers_mut().insert(LOCATION, location);
        }
    }
    Ok(response)
}

/// Removes an alias; its versions stay. `live` cannot be removed.
#[utoipa::path(delete, path = "/api/v1/functions/{function}/aliases/{alias}", operation_id = "aliases.delete", tag = "aliases",
    params(("function" = String, Path, description = "name or id"), ("alias" = String, Path, description = "the alias's name")), responses(
    (status = 204, description = "removed"),
    (status = 404, description = "no such function or alias", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "a trigger calls the function by it, or it was changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "`live` cannot be removed", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn remove_alias(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams((id, alias)): PathParams<(String, String)>,
    precondition: Precondition,
) -> Result<StatusCode, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let entry = for_write(Arc::clone(&entry), &precondition, state_of(&entry, &alias))?;
    let name: AliasName = alias.parse().map_err(|_| no_alias(&entry, &alias))?;
    state.engine.deployments.remove_alias(&entry, &name, mover(&caller)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows the version that is on its way to `live`, and how its calls ended.
#[utoipa::path(get, path = "/api/v1/functions/{function}/rollout", operation_id = "rollouts.get", tag = "aliases", params(("function" = String, Path, description = "name or id")), responses(
    (status = 200, body = RolloutView),
    (status = 404, description = "no such function, or no canary under way", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn get_canary(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
) -> Result<Json<RolloutView>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let status = state.engine.deployments.canary(&entry).await?.ok_or_else(|| {
        let name = &entry.record.name;
        let split = entry.record.live().and_then(|live| live.split);
        let hint = match split {
            Some(split) => format!(
                "{} % of its calls go to version {}, set by hand with `faas aliases set`; a canary begins with [canary] in faas.toml",
                split.share.percent(),
                split.version
            ),
            None => format!("one begins when a version with [canary] is deployed; see `faas deployments list {name}` for earlier ones"),
        };
        Fault::new(Reason::RolloutNotFound, format!("`{name}` has no canary now")).with_hint(hint)
    })?;
    let canary = status.canary;
    let split = entry.record.live().and_then(|live| live.split);
    Ok(Json(RolloutView {
        function: entry.record.name.to_string(),
        version: canary.version,
        live: status.live,
        step: canary.step + 1,
        percent: split.map_or(0.0, |split| split.share.percent()),
        since: canary.since.to_string(),
        calls: status.counts.calls,
        failed: status.counts.failed,
        slow: status.counts.slow,
        policy: policy_view(&status.policy),
    }))
}

/// Lets the version that is on its way to `live` take every call now.
#[utoipa::path(post, path = "/api/v1/functions/{function}/rollout/promote", operation_id = "rollouts.promote", tag = "aliases", params(("function" = String, Path, description = "name or id")),
    request_body = EndRollout, responses(
    (status = 200, body = DeploymentView),
    (status = 404, description = "no such function, or no canary under way", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn promote_canary(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    request: StreamRequest,
    Json(body): Json<EndRollout>,
) -> Result<Json<DeploymentView>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let deployed = state.engine.deployments.promote_canary(&entry, body.note, mover(&caller)).await?;
    Ok(Json(state.deployment_view(caller.project, &deployed.deployment, &request.id).await?))
}

/// Gives the version that is on its way to `live` no more calls.
#[utoipa::path(post, path = "/api/v1/functions/{function}/rollout/abort", operation_id = "rollouts.abort", tag = "aliases", params(("function" = String, Path, description = "name or id")),
    request_body = EndRollout, responses(
    (status = 200, body = DeploymentView),
    (status = 404, description = "no such function, or no canary under way", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn abort_canary(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    request: StreamRequest,
    Json(body): Json<EndRollout>,
) -> Result<Json<DeploymentView>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let deployed = state.engine.deployments.abort_canary(&entry, body.note, mover(&caller)).await?;
    Ok(Json(state.deployment_view(caller.project, &deployed.deployment, &request.id).await?))
}

pub(crate) fn alias_name(text: &str) -> Result<AliasName, Fault> {
    text.parse().map_err(|error: faas_types::InvalidName| invalid(format!("alias: {error}")))
}

async fn view(state: &ApiState, entry: &FunctionEntry, alias: &str) -> Result<AliasView, Fault> {
    let found = state.alias_views(entry).find(|view| view.name == alias);
    state.served_alias(entry, found.ok_or_else(|| no_alias(entry, alias))?).await
}

fn no_alias(entry: &FunctionEntry, alias: &str) -> Fault {
    let (name, shown) = (&entry.record.name, alias.chars().take(80).collect::<String>());
    Fault::new(Reason::AliasNotFound, format!("`{name}` has no alias `{shown}`"))
        .with_command_hint(format!("its aliases are listed by `faas aliases list {name}`"))
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::of_field(message)
}

/// Whoever calls, as what is moved remembers it.
pub(crate) fn mover(caller: &Caller) -> Mover {
    Mover::Key(caller.author())
}

fn wish(body: SetAlias, by: Mover) -> Result<AliasWish, Fault> {
    let sticky = body.sticky.as_deref().map(str::parse::<Affinity>).transpose();
    let sticky = sticky.map_err(|error| invalid(format!("sticky: {error}")))?;
    let (version, split) = match body.targets[..] {
        [one] if share(one)?.is_none_or(|share| share.get() == 1000) => (one.version, None),
        [_] => return Err(invalid("percent: a single version takes 100")),
        [first, second] => split(first, second)?,
        _ => return Err(invalid("targets: name one version, or two with their shares")),
    };
    Ok(AliasWish { version, split, sticky, by, note: body.note })
}

fn share(target: AliasTarget) -> Result<Option<Permille>, Fault> {
    target.percent.map(Permille::from_percent).transpose().map_err(|error| invalid(format!("percent: {error}")))
}

fn split(first: AliasTarget, second: AliasTarget) -> Result<(u32, Option<Split>), Fault> {
    let (Some(one), Some(other)) = (share(first)?, share(second)?) else {
        return Err(invalid("percent: of two versions each needs its share").with_hint("write them as 4=90 5=10"));
    };
    if one.get() + other.get() != 1000 || !one.is_partial() {
        return Err(invalid(format!("percent: {one} and {other} are not 100 together, each more than nothing")));
    }
    if first.version == second.version {
        return Err(invalid(format!("targets: both are version {}", first.version)));
    }
    Ok((first.version, Some(Split { version: second.version, share: other })))
}
