//! `/api/v1/runs`.

use axum::extract::State;
use faas_ports::RunQuery;
use faas_proto::rest::{Problem, RunList, RunView};
use faas_types::{Fault, InvalidId, Reason, RunId, Span};
use faas_web::{Authorized, HandlerError, Json, PathParams, QueryParams};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::page::{self, Order, PageQuery};
use crate::state::ApiState;
use crate::views::run_view;

/// The longest wait for a run; proxies cut longer ones.
const PATIENCE_MAX: std::time::Duration = std::time::Duration::from_secs(60);

/// Which runs to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// Only of this function, by name or id. A deleted one is found as long as its runs are kept.
    function: Option<String>,
    /// Only in this state.
    #[param(pattern = "^(queued|running|succeeded|failed|retried|cancelled)$")]
    state: Option<String>,
    /// Only that ended with this code, such as `FN_002`.
    #[param(max_length = 400)]
    code: Option<String>,
    /// Only cold ones, or only warm ones.
    cold: Option<bool>,
    /// Only of this version.
    #[param(minimum = 1)]
    version: Option<u32>,
    /// Only created by this, such as `http` or `api`.
    #[param(max_length = 20)]
    trigger: Option<String>,
    /// Only ended ones that took at least so long, such as `250ms` or `2s`.
    #[param(max_length = 40)]
    min_duration: Option<String>,
    /// Only ended ones that took at most so long.
    #[param(max_length = 40)]
    max_duration: Option<String>,
    /// Only created since: a time such as `2026-11-21T08:00:00Z`, or how long ago, such as `10m`.
    #[param(max_length = 40)]
    since: Option<String>,
    /// Only created before, in the same form.
    #[param(max_length = 40)]
    until: Option<String>,
}

/// Lists runs, newest first.
#[utoipa::path(get, path = "/api/v1/runs", operation_id = "runs.list", tag = "runs", params(Filter, PageQuery), responses(
    (status = 200, body = RunList),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list_runs(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    QueryParams(filter): QueryParams<Filter>,
    query: PageQuery,
) -> Result<Json<RunList>, HandlerError> {
    let page = query.of("runs", caller.project, Order::Desc)?.only(Order::Desc)?;
    let function = match &filter.function {
        Some(text) => Some(state.engine.catalog().find_past(caller.project, text).await?),
        None => None,
    };
    let query = RunQuery {
        project: caller.project,
        function,
        state: page::parsed("state", filter.state.as_deref())?,
        code: page::parsed("code", filter.code.as_deref())?,
        cold_start: filter.cold,
        version: filter.version,
        trigger: page::parsed("trigger", filter.trigger.as_deref())?,
        duration_min: page::parsed("min_duration", filter.min_duration.as_deref())?.map(Span::get),
        duration_max: page::parsed("max_duration", filter.max_duration.as_deref())?.map(Span::get),
        since: page::time("since", filter.since.as_deref(), page.now)?,
        until: page::time("until", filter.until.as_deref(), page.now)?,
        after: page.after()?,
        limit: u32::try_from(page.limit).unwrap_or(u32::MAX),
    };
    let found = state.engine.history().runs(&query).await?;
    Ok(Json(page.ending(found.runs, found.next.map(|id| id.to_string())).map(run_view)))
}

/// How long to wait for a run.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Patience {
    /// Answers when the run has ended, at the latest after so long: up to `60s`. At once where absent.
    #[param(max_length = 10)]
    wait: Option<String>,
}

/// Shows a run with its attempts.
#[utoipa::path(get, path = "/api/v1/runs/{run}", operation_id = "runs.get", tag = "runs", params(("run" = String, Path, description = "the run's id"), Patience), responses(
    (status = 200, body = RunView),
    (status = 404, description = "no such run", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn get_run(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    QueryParams(patience): QueryParams<Patience>,
) -> Result<Json<RunView>, HandlerError> {
    let id = run_id(&id)?;
    let wait: Option<Span> = page::parsed("wait", patience.wait.as_deref())?;
    let run = match wait {
        Some(wait) if wait.get() > PATIENCE_MAX => {
            let message = format!("the parameter `wait` is {wait}; it goes up to {}s", PATIENCE_MAX.as_secs());
            return Err(HandlerError(
                Fault::new(Reason::InvalidParameter, message).with_hint("ask again where it has not ended by then"),
            ));
        }
        Some(wait) => state.engine.runs.await_run(caller.project, id, wait.get()).await?,
        None => state.engine.history().run(caller.project, id).await?,
    };
    let input_kept = state.engine.runs.keeps_input(caller.project, id).await?;
    Ok(Json(RunView { input_kept: Some(input_kept), ..run_view(run) }))
}

pub(crate) fn run_id(text: &str) -> Result<RunId, Fault> {
    text.parse().map_err(|error: InvalidId| Fault::new(Reason::RunNotFound, format!("no such run: {error}")))
}
