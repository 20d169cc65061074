//! `/api/v1/functions/{id}/env`.

use axum::extract::State;
use faas_engine::FunctionEntry;
use faas_proto::rest::{Problem, SetVars, VarList, VarView};
use faas_types::Fault;
use faas_web::{Authorized, Failure, Json, PathParams};
use http::StatusCode;

use crate::state::ApiState;

/// Lists the vars that the live version sees.
#[utoipa::path(get, path = "/api/v1/functions/{id}/env", tag = "vars", params(("id" = String, Path, description = "name or id")), responses(
    (status = 200, body = VarList),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list_vars(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
) -> Result<Json<VarList>, Failure> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    Ok(Json(view(&state, &entry).await?))
}

/// Sets vars; others stay. New instances see them and present ones are replaced.
#[utoipa::path(post, path = "/api/v1/functions/{id}/env", tag = "vars", params(("id" = String, Path, description = "name or id")),
    request_body = SetVars, responses(
    (status = 200, body = VarList),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn set_vars(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    Json(body): Json<SetVars>,
) -> Result<Json<VarList>, Failure> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let entry = state.engine.set_vars(&entry, body.vars).await?;
    Ok(Json(view(&state, &entry).await?))
}

/// Removes a var that was set through the API.
#[utoipa::path(delete, path = "/api/v1/functions/{id}/env/{key}", tag = "vars",
    params(("id" = String, Path, description = "name or id"), ("key" = String, Path, description = "the var's name")), responses(
    (status = 204, description = "removed"),
    (status = 404, description = "no such function or var", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn delete_var(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams((id, key)): PathParams<(String, String)>,
) -> Result<StatusCode, Failure> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    state.engine.unset_var(&entry, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn view(state: &ApiState, entry: &FunctionEntry) -> Result<VarList, Fault> {
    let manifest = match entry.live_version() {
        Some(number) => state.engine.catalog().version(entry, number).await?.settings.vars.clone(),
        None => Default::default(),
    };
    let set = &entry.record.vars;
    let of = |source: &'static str| {
        move |(key, value): (&String, &String)| VarView {
            key: key.clone(),
            value: value.clone(),
            source: source.to_owned(),
        }
    };
    let mut vars: Vec<VarView> =
        manifest.iter().filter(|(key, _)| !set.contains_key(*key)).map(of("manifest")).collect();
    vars.extend(set.iter().map(of("api")));
    vars.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(VarList { vars })
}
