//! `/api/v1/functions/{function}/vars` and `/api/v1/vars`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use faas_engine::{EffectiveVar, FunctionEntry, VarSource};
use faas_proto::rest::{Problem, SetVar, SetVars, VarList, VarView};
use faas_types::{Fault, ProjectId, Reason, Stage, secret_refs};
use faas_web::{Authorized, HandlerError, Json, PathParams, Precondition, QueryParams, StateTag, Tagged};
use http::StatusCode;

use crate::functions::for_write;
use crate::page::{Order, PageQuery};
use crate::secrets::OfStage;
use crate::state::ApiState;

/// Lists the vars that instances of a function see, each with where it comes from.
#[utoipa::path(get, path = "/api/v1/functions/{function}/vars", operation_id = "functionVars.list", tag = "vars",
    params(("function" = String, Path, description = "name or id"), OfStage, PageQuery), responses(
    (status = 200, body = VarList),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list_vars(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    QueryParams(of): QueryParams<OfStage>,
    query: PageQuery,
) -> Result<Tagged<VarList>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let page = query.of("function-vars", entry.record.id, Order::Asc)?;
    let vars = view(&state, &entry, of.stage).await?;
    Ok(Tagged(state_of(&entry, of.stage), page.cut(vars, |var| var.key.clone())))
}

/// The vars of a function with the state of those that were set for it.
async fn tagged(state: &ApiState, entry: &FunctionEntry, stage: Stage) -> Result<Tagged<VarList>, Fault> {
    Ok(Tagged(state_of(entry, stage), VarList::whole(view(state, entry, stage).await?)))
}

fn state_of(entry: &FunctionEntry, stage: Stage) -> StateTag {
    StateTag::of(&entry.record.vars_of(stage).filter(|vars| !vars.is_empty()))
}

/// Sets vars of a function in a stage; others stay. New instances see them and present ones are replaced.
#[utoipa::path(patch, path = "/api/v1/functions/{function}/vars", operation_id = "functionVars.update", tag = "vars",
    params(("function" = String, Path, description = "name or id"), OfStage), request_body = SetVars, responses(
    (status = 200, body = VarList),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn set_vars(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    QueryParams(of): QueryParams<OfStage>,
    precondition: Precondition,
    Json(body): Json<SetVars>,
) -> Result<Tagged<VarList>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let entry = for_write(Arc::clone(&entry), &precondition, Some(state_of(&entry, of.stage)))?;
    let entry = state.engine.vars.set_for_function(&entry, of.stage, body.vars).await?;
    Ok(tagged(&state, &entry, of.stage).await?)
}

/// Sets one var of a function in a stage.
#[utoipa::path(put, path = "/api/v1/functions/{function}/vars/{var}", operation_id = "functionVars.set", tag = "vars",
    params(("function" = String, Path, description = "name or id"), ("var" = String, Path, description = "the var's name"), OfStage), request_body = SetVar, responses(
    (status = 200, body = VarView),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn set_var(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams((id, key)): PathParams<(String, String)>,
    QueryParams(of): QueryParams<OfStage>,
    precondition: Precondition,
    Json(body): Json<SetVar>,
) -> Result<Json<VarView>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let entry = for_write(Arc::clone(&entry), &precondition, Some(state_of(&entry, of.stage)))?;
    let vars = BTreeMap::from([(key.clone(), body.value)]);
    let entry = state.engine.vars.set_for_function(&entry, of.stage, vars).await?;
    Ok(Json(row_of(view(&state, &entry, of.stage).await?, &key)?))
}

/// Removes a var that was set through the API for a stage.
#[utoipa::path(delete, path = "/api/v1/functions/{function}/vars/{var}", operation_id = "functionVars.delete", tag = "vars",
    params(("function" = String, Path, description = "name or id"), ("var" = String, Path, description = "the var's name"), OfStage), responses(
    (status = 204, description = "removed"),
    (status = 404, description = "no such function or var", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn delete_var(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams((id, key)): PathParams<(String, String)>,
    QueryParams(of): QueryParams<OfStage>,
    precondition: Precondition,
) -> Result<StatusCode, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let entry = for_write(Arc::clone(&entry), &precondition, Some(state_of(&entry, of.stage)))?;
    state.engine.vars.unset_for_function(&entry, of.stage, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the vars that a stage gives every function of the project.
#[utoipa::path(get, path = "/api/v1/vars", operation_id = "vars.list", tag = "vars", params(OfStage, PageQuery), responses((status = 200, body = VarList)))]
pub(crate) async fn list_stage_vars(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    QueryParams(of): QueryParams<OfStage>,
    query: PageQuery,
) -> Result<Tagged<VarList>, HandlerError> {
    let page = query.of("vars", caller.project, Order::Asc)?;
    let own = state.engine.vars.own_of_stage(caller.project, of.stage);
    let vars = rows(state.engine.vars.of_stage(caller.project, of.stage));
    Ok(Tagged(StateTag::of(&own), page.cut(vars, |var| var.key.clone())))
}

/// The vars of a stage with the state of its own.
fn stage_vars(state: &ApiState, project: ProjectId, stage: Stage) -> Tagged<VarList> {
    let own = state.engine.vars.own_of_stage(project, stage);
    Tagged(StateTag::of(&own), VarList::whole(rows(state.engine.vars.of_stage(project, stage))))
}

/// Sets vars of a stage for every function of the project; others stay. A function's own and its manifest's win.
#[utoipa::path(patch, path = "/api/v1/vars", operation_id = "vars.update", tag = "vars", params(OfStage), request_body = SetVars, responses(
    (status = 200, body = VarList),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn set_stage_vars(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    QueryParams(of): QueryParams<OfStage>,
    precondition: Precondition,
    Json(body): Json<SetVars>,
) -> Result<Tagged<VarList>, HandlerError> {
    let allows = |own: &BTreeMap<String, String>| precondition.check(Some(StateTag::of(own)));
    state.engine.vars.set_for_stage(caller.project, of.stage, body.vars, allows).await?;
    Ok(stage_vars(&state, caller.project, of.stage))
}

/// Sets one var of a stage for every function of the project.
#[utoipa::path(put, path = "/api/v1/vars/{var}", operation_id = "vars.set", tag = "vars",
    params(("var" = String, Path, description = "the var's name"), OfStage), request_body = SetVar, responses(
    (status = 200, body = VarView),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn set_stage_var(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(key): PathParams<String>,
    QueryParams(of): QueryParams<OfStage>,
    precondition: Precondition,
    Json(body): Json<SetVar>,
) -> Result<Json<VarView>, HandlerError> {
    let allows = |own: &BTreeMap<String, String>| precondition.check(Some(StateTag::of(own)));
    let vars = BTreeMap::from([(key.clone(), body.value)]);
    state.engine.vars.set_for_stage(caller.project, of.stage, vars, allows).await?;
    Ok(Json(row_of(rows(state.engine.vars.of_stage(caller.project, of.stage)), &key)?))
}

/// Removes a var of a stage.
#[utoipa::path(delete, path = "/api/v1/vars/{var}", operation_id = "vars.delete", tag = "vars",
    params(("var" = String, Path, description = "the var's name"), OfStage), responses(
    (status = 204, description = "removed"),
    (status = 404, description = "the stage itself has no such var", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn delete_stage_var(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(key): PathParams<String>,
    QueryParams(of): QueryParams<OfStage>,
    precondition: Precondition,
) -> Result<StatusCode, HandlerError> {
    let allows = |own: &BTreeMap<String, String>| precondition.check(Some(StateTag::of(own)));
    state.engine.vars.unset_for_stage(caller.project, of.stage, &key, allows).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The row of a var that was just set.
fn row_of(list: Vec<VarView>, key: &str) -> Result<VarView, Fault> {
    let found = list.into_iter().find(|var| var.key == key);
    found.ok_or_else(|| Fault::new(Reason::ChangedMeanwhile, format!("`{key}` was removed meanwhile")))
}

async fn view(state: &ApiState, entry: &FunctionEntry, stage: Stage) -> Result<Vec<VarView>, Fault> {
    let version = match state.engine.vars.version_of(entry, stage) {
        Some(number) => Some(state.engine.catalog().version(entry, number).await?),
        None => None,
    };
    Ok(rows(state.engine.vars.of_function(entry, version.as_deref(), stage)))
}

fn rows(vars: BTreeMap<String, EffectiveVar>) -> Vec<VarView> {
    let row = |(key, var): (String, EffectiveVar)| {
        let (source, stage) = match var.source {
            VarSource::Project(stage) => ("project", Some(stage)),
            VarSource::Manifest => ("manifest", None),
            VarSource::Function(stage) => ("function", Some(stage)),
        };
        let secrets = secret_refs(&var.value).map(|name| name.to_string()).collect();
        VarView { key, value: var.value, source: source.to_owned(), stage, secrets }
    };
    vars.into_iter().map(row).collect()
}
