//! `/api/v1/functions`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use faas_engine::{FunctionEntry, NameWalk};
use faas_proto::rest::{
    CreateFunction, DurationSummary, FunctionList, FunctionMetrics, FunctionView, PatchFunction, Problem,
    ReplaceFunction,
};
use faas_types::{Fault, FunctionName, FunctionRecord};
use faas_web::{
    Authorized, Created, HandlerError, Json, Named, PathParams, Precondition, QueryParams, StateTag, Tagged,
};
use http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::network::usage_view;
use crate::page::{self, Order, PageQuery};
use crate::state::ApiState;
use crate::views::millis;

/// What functions are listed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FunctionSort {
    Name,
    CreatedAt,
}

/// Which functions to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FunctionFilter {
    /// Only whose name holds this text.
    #[param(max_length = 200)]
    q: Option<String>,
    /// Only those whose accepted runs are held back, or only the others.
    paused: Option<bool>,
    /// What they are listed by: `name`, from A on, where absent; `created_at` begins with the newest.
    #[param(inline)]
    sort: Option<FunctionSort>,
}

/// Lists functions, by name where nothing else is asked for.
#[utoipa::path(get, path = "/api/v1/functions", operation_id = "functions.list", tag = "functions", params(FunctionFilter, PageQuery), responses((status = 200, body = FunctionList)))]
pub(crate) async fn list_functions(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    QueryParams(filter): QueryParams<FunctionFilter>,
    query: PageQuery,
) -> Result<Json<FunctionList>, HandlerError> {
    let by_age = filter.sort == Some(FunctionSort::CreatedAt);
    let order = if by_age { Order::Desc } else { Order::Asc };
    let page = query.of("functions", caller.project, order)?;
    let text = page::searched(filter.q.as_deref())?;
    let is_wanted = |entry: &FunctionEntry| {
        filter.paused.is_none_or(|paused| entry.record.paused == paused)
            && page::is_found(text.as_deref(), &[entry.record.name.as_str()])
    };
    let catalog = state.engine.catalog();
    let found = if by_age {
        // Ids rise with time.
        page.cut(catalog.matching(caller.project, is_wanted), |entry| entry.record.id.to_string())
    } else {
        let after: Option<FunctionName> = page.after()?;
        let walk = NameWalk { after: after.as_ref(), descends: page.descends(), limit: page.wanted() };
        page.of_found(catalog.walk(caller.project, &walk, is_wanted), |entry| entry.record.name.to_string())
    };
    let all = page::exactly(catalog.count(caller.project) as u64).filter(|_| text.is_none() && filter.paused.is_none());
    let versions = catalog.live_versions(&found.items).await?;
    let mut versions = versions.iter();
    let list = found.map(|entry| state.view_with(&entry, versions.next().and_then(Option::as_deref)));
    Ok(Json(FunctionList { total: list.total.or(all), ..list }))
}

/// Creates a function without code; a deployment brings the code and creates the function where needed.
#[utoipa::path(post, path = "/api/v1/functions", operation_id = "functions.create", tag = "functions", request_body = CreateFunction, responses(
    (status = 201, body = FunctionView, headers(("Location" = String, description = "the path of what was made"))),
    (status = 409, description = "the name is taken", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "too many functions", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn create_function(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    Named(write): Named,
    Json(body): Json<CreateFunction>,
) -> Result<impl IntoResponse, HandlerError> {
    let name = function_name(&body.name)?;
    let id = write.map(|write| write.id(0));
    // Made before the server died in the middle of this write.
    let made = id.and_then(|id| state.engine.catalog().by_id(caller.project, id));
    let entry = match made {
        Some(entry) => entry,
        None => state.engine.functions.create(caller.project, name, body.vars, id).await?,
    };
    let view = state.function_view(&entry).await?;
    Ok(Created(format!("/api/v1/functions/{}", view.name), view))
}

pub(crate) fn function_name(text: &str) -> Result<FunctionName, Fault> {
    text.parse().map_err(|error: faas_types::InvalidName| Fault::of_field(format!("name: {error}")))
}

/// Shows a function, by name or id.
#[utoipa::path(get, path = "/api/v1/functions/{function}", operation_id = "functions.get", tag = "functions", params(("function" = String, Path, description = "name or id")), responses(
    (status = 200, body = FunctionView),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn get_function(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
) -> Result<Tagged<FunctionView>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    Ok(tagged(&state, &entry).await?)
}

/// A function with its state.
async fn tagged(state: &ApiState, entry: &FunctionEntry) -> Result<Tagged<FunctionView>, Fault> {
    Ok(Tagged(state_of(entry), state.function_view(entry).await?))
}

fn state_of(entry: &FunctionEntry) -> StateTag {
    StateTag::at(entry.revision)
}

/// The function for a write: where the request demands a state of what it changes, changes hold for that state alone.
pub(crate) fn for_write(
    entry: Arc<FunctionEntry>,
    precondition: &Precondition,
    state: Option<StateTag>,
) -> Result<Arc<FunctionEntry>, Fault> {
    precondition.check(state)?;
    Ok(if precondition.is_given() { Arc::new(entry.pinned()) } else { entry })
}

/// Replaces what people say of a function and whether its accepted runs are held back; what the body leaves out is reset.
#[utoipa::path(put, path = "/api/v1/functions/{function}", operation_id = "functions.replace", tag = "functions", params(("function" = String, Path, description = "name or id")),
    request_body = ReplaceFunction, responses(
    (status = 200, body = FunctionView, headers(("ETag" = String, description = "the state, for `If-Match`"))),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
    (status = 412, description = "not the state that `If-Match` names", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn replace_function(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    precondition: Precondition,
    Json(body): Json<ReplaceFunction>,
) -> Result<Tagged<FunctionView>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let entry = for_write(Arc::clone(&entry), &precondition, Some(state_of(&entry)))?;
    let replace = |record: &mut FunctionRecord| {
        let ReplaceFunction { description, labels, paused } = body.clone();
        (record.description, record.labels, record.paused) = (description, labels, paused);
    };
    let entry = state.engine.functions.describe(&entry, replace).await?;
    Ok(tagged(&state, &entry).await?)
}

/// Changes what people say of a function and whether its accepted runs are held back, as RFC 7396 has it: what the body leaves out
/// stays, `null` resets.
#[utoipa::path(patch, path = "/api/v1/functions/{function}", operation_id = "functions.update", tag = "functions", params(("function" = String, Path, description = "name or id")),
    request_body = PatchFunction, responses(
    (status = 200, body = FunctionView, headers(("ETag" = String, description = "the state, for `If-Match`"))),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
    (status = 412, description = "not the state that `If-Match` names", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn patch_function(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    precondition: Precondition,
    Json(body): Json<PatchFunction>,
) -> Result<Tagged<FunctionView>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let entry = for_write(Arc::clone(&entry), &precondition, Some(state_of(&entry)))?;
    let entry = state.engine.functions.describe(&entry, |record| merge(record, body.clone())).await?;
    Ok(tagged(&state, &entry).await?)
}

fn merge(record: &mut FunctionRecord, PatchFunction { description, labels, paused }: PatchFunction) {
    if let Some(description) = description {
        record.description = description;
    }
    match labels {
        None => {}
        Some(None) => record.labels.clear(),
        Some(Some(labels)) => {
            for (label, value) in labels {
                match value {
                    Some(value) => record.labels.insert(label, value),
                    None => record.labels.remove(&label),
                };
            }
        }
    }
    if let Some(paused) = paused {
        record.paused = paused.unwrap_or_default();
    }
}

/// Deletes a function with its versions. Its runs stay until their retention ends.
#[utoipa::path(delete, path = "/api/v1/functions/{function}", operation_id = "functions.delete", tag = "functions", params(("function" = String, Path, description = "name or id")), responses(
    (status = 204, description = "deleted"),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn delete_function(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    precondition: Precondition,
) -> Result<StatusCode, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let entry = for_write(Arc::clone(&entry), &precondition, Some(state_of(&entry)))?;
    state.engine.deployments.delete_function(&entry).await?;
    state.git.forget(caller.project, entry.record.name.clone()).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Holds the accepted runs of a function back. Runs under way go on, and calls whose callers wait are served.
#[utoipa::path(post, path = "/api/v1/functions/{function}/pause", operation_id = "functions.pause", tag = "functions", params(("function" = String, Path, description = "name or id")), responses(
    (status = 200, body = FunctionView),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn pause_function(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
) -> Result<Json<FunctionView>, HandlerError> {
    hold(&state, caller.project, &id, true).await
}

/// Lets the accepted runs of a function go on.
#[utoipa::path(post, path = "/api/v1/functions/{function}/resume", operation_id = "functions.resume", tag = "functions", params(("function" = String, Path, description = "name or id")), responses(
    (status = 200, body = FunctionView),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn resume_function(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
) -> Result<Json<FunctionView>, HandlerError> {
    hold(&state, caller.project, &id, false).await
}

async fn hold(
    state: &ApiState,
    project: faas_types::ProjectId,
    id: &str,
    paused: bool,
) -> Result<Json<FunctionView>, HandlerError> {
    let entry = state.engine.catalog().find(project, id)?;
    let entry = state.engine.functions.pause(&entry, paused).await?;
    Ok(Json(state.function_view(&entry).await?))
}

/// Shows how a function does since the server started.
#[utoipa::path(get, path = "/api/v1/functions/{function}/metrics", operation_id = "functions.getMetrics", tag = "functions", params(("function" = String, Path, description = "name or id")), responses(
    (status = 200, body = FunctionMetrics),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
))]
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(crate) async fn function_metrics(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
) -> Result<Json<FunctionMetrics>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let snapshot = state.engine.stats().snapshot(entry.record.id);
    let snapshot = snapshot.as_ref();
    let errors = snapshot.map_or(0, |s| s.errors);
    let invocations = snapshot.map_or(0, |s| s.invocations);
    let quantile = |index: usize| snapshot.and_then(|s| s.quantiles_us).map(|q| millis(q[index]));
    Ok(Json(FunctionMetrics {
        function: entry.record.name.to_string(),
        invocations,
        errors,
        error_rate: if invocations == 0 { 0.0 } else { errors as f64 / invocations as f64 },
        cold_starts: snapshot.map_or(0, |s| s.cold_starts),
        throttled: snapshot.map_or(0, |s| s.throttled),
        in_flight: snapshot.map_or(0, |s| s.in_flight),
        instances: state.engine.scheduler().instances_of(entry.record.id),
        network: snapshot.map(|s| s.network).filter(|usage| !usage.is_none()).map(usage_view),
        duration_ms: DurationSummary {
            avg: snapshot.filter(|_| invocations > 0).map(|s| millis(s.duration_sum_us) / invocations as f64),
            p50: quantile(0),
            p95: quantile(1),
            p99: quantile(2),
        },
    }))
}
