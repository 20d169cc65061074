//! `/api/v1/functions/{function}/invoke`: the same call as at the function's URL, by API.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use faas_engine::{Caller, Selector};
use faas_ingress::{CallTarget, preferred_wait, prefers_async, serve_call, sticky_key};
use faas_proto::rest::{AcceptedRun, Problem};
use faas_types::{
    Affinity, AliasName, Code, Executed, Fault, InvocationMode, ProjectId, Reason, RunState, Scope, TriggerKind,
};
use faas_web::{Authorized, HandlerError, PathParams, QueryParams, RequestId, render};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::state::ApiState;

/// How to call.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Choice {
    /// `sync` waits for the function's answer; `async` makes a background run and answers 202 with its id.
    /// When absent the header `Prefer: respond-async` and the function's own mode decide.
    mode: Option<CallMode>,
}

/// How to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CallMode {
    Sync,
    Async,
}

/// Calls a function. The body goes to it as it is, and the answer is its own.
///
/// A failure of the platform answers `application/problem+json`; one of the function's own code answers its error
/// as JSON with the header `X-Error-Source: function`.
#[utoipa::path(post, path = "/api/v1/functions/{function}/invoke", operation_id = "functions.invoke", tag = "invoke",
    params(
        ("function" = String, Path, description = "name or id, with `:alias` or `:version` behind it where wanted"),
        Choice,
        ("Idempotency-Key" = Option<String>, Header, description = "a repeated request with this key makes no second run, for 24 hours"),
        ("Prefer" = Option<String>, Header, description = "`respond-async` asks for a background run, and `respond-async, wait=5` for its result where it ends within 5 seconds, up to 60"),
        ("X-Run-Delay" = Option<String>, Header, description = "of a background run: when the first attempt begins, such as `10m`"),
        ("X-Run-Max-Age" = Option<String>, Header, description = "of a background run: no attempt begins later than this after acceptance"),
        ("X-Run-Priority" = Option<String>, Header, description = "of a background run: 0 to 255, higher goes first"),
        ("X-Ordering-Key" = Option<String>, Header, description = "of a background run: runs with the same key go one at a time"),
        ("X-Callback-Url" = Option<String>, Header, description = "of a background run: a URL that gets a signed POST at its end"),
    ),
    request_body(content = serde_json::Value, description = "what the function takes", content_type = "application/json"), responses(
    (status = 202, description = "a background run; or the function's answer, where it chose this status", body = AcceptedRun),
    (status = "2XX", description = "the function's answer"),
    (status = "3XX", description = "the function's answer"),
    (status = "4XX", description = "the function's answer, or a request that cannot be served", body = Problem, content_type = "application/problem+json"),
    (status = "5XX", description = "the function failed, or cannot be served now", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn invoke_function(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    QueryParams(choice): QueryParams<Choice>,
    mut request: Request,
) -> Result<Response, HandlerError> {
    let target = target_of(&state, &caller, &id, request.headers(), "/".to_owned()).await?;
    let Some(request_id) = request.extensions().get::<RequestId>().cloned() else {
        return Ok(HandlerError(faas_types::Fault::internal("a request has no id")).into_response());
    };
    let later = match choice.mode {
        Some(mode) => mode == CallMode::Async,
        None => {
            let mode = target.route.version.settings.background.mode;
            mode == InvocationMode::Async || prefers_async(request.headers())
        }
    };
    *request.uri_mut() = without_mode(request.uri());
    let patience = if later { preferred_wait(request.headers())? } else { None };
    let details = target.details;
    let response = serve_call(&state.engine, target, Box::new(request.into()), &request_id, later).await;
    match patience {
        Some(patience) if response.status() == StatusCode::ACCEPTED => {
            // Boxed: few calls wait like this.
            Ok(Box::pin(awaited(&state, caller.project, response, patience, details, &request_id)).await)
        }
        _ => Ok(response),
    }
}

/// Where a call by API goes.
pub(crate) async fn target_of(
    state: &ApiState,
    caller: &Caller,
    id: &str,
    headers: &HeaderMap,
    path: String,
) -> Result<CallTarget, Fault> {
    let (name, selector) = match id.split_once(':') {
        Some((name, selector)) => (name, selector.parse()?),
        None => (id, Selector::Alias(AliasName::live())),
    };
    let mark = |by: &Affinity| sticky_key(headers, by);
    let route = state.engine.runs.route_request(caller.project, name, &selector, mark).await?;
    let details = caller.may(Scope::RunsRead) || route.tells_all();
    Ok(CallTarget { route, trigger: TriggerKind::Api, path, prefix: None, details, keyless: false })
}

/// What a background run ended with, where it ends soon enough; the answer to its acceptance otherwise, and where its result
/// is not kept.
async fn awaited(
    state: &ApiState,
    project: ProjectId,
    accepted: Response,
    patience: Duration,
    details: bool,
    id: &RequestId,
) -> Response {
    let run =
        accepted.headers().get("x-run-id").and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    let Some(run) = run else { return accepted };
    let run = match state.engine.runs.await_run(project, run, patience).await {
        Ok(run) if run.state().is_terminal() => run,
        Ok(_) => return accepted,
        Err(fault) => {
            tracing::warn!(%run, error = %fault, "a run that was accepted cannot be awaited");
            return accepted;
        }
    };
    let mut response = match (run.state(), run.result) {
        (RunState::Succeeded, Some(result)) => {
            let status = run.http_status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK);
            (status, [(CONTENT_TYPE, "application/json")], result.text().to_owned()).into_response()
        }
        (RunState::Succeeded, None) => return accepted,
        (_, _) => {
            let message = run.message.unwrap_or_else(|| "the run did not succeed".to_owned());
            let fault = Fault::new(run.code.unwrap_or(Code::Cancelled), message).with_executed(Executed::Yes);
            let error = run.error.filter(|_| details);
            let fault = match error {
                Some(error) => fault.with_reason(Reason::FunctionError).with_function_error(error),
                None => fault,
            };
            render(&fault, id, Some(run.id))
        }
    };
    for (name, value) in accepted.headers() {
        if ![CONTENT_TYPE, CONTENT_LENGTH].contains(name) && !response.headers().contains_key(name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    let applied = HeaderValue::try_from(format!("respond-async, wait={}", patience.as_secs()));
    response.headers_mut().insert("preference-applied", applied.unwrap_or(HeaderValue::from_static("respond-async")));
    response
}

/// The URI that the function sees: `mode` is for this route, the rest of the query is the caller's.
fn without_mode(uri: &Uri) -> Uri {
    let Some(query) = uri.query() else { return uri.clone() };
    let rest: Vec<_> = query.split('&').filter(|pair| *pair != "mode" && !pair.starts_with("mode=")).collect();
    let target = if rest.is_empty() { uri.path().to_owned() } else { format!("{}?{}", uri.path(), rest.join("&")) };
    // Part of a URI is one too.
    target.parse().unwrap_or_else(|_| uri.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_not_the_functions() {
        for (given, expected) in [
            ("/api/v1/functions/a/invoke?mode=async", "/api/v1/functions/a/invoke"),
            ("/i?a=1&mode=sync&b=%20", "/i?a=1&b=%20"),
            ("/i?model=x&a=mode=1", "/i?model=x&a=mode=1"),
            ("/i", "/i"),
        ] {
            let uri: Uri = given.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(without_mode(&uri).to_string(), expected);
        }
    }
}
