//! `/api/v1/functions/{function}/invoke`: the same call as at the function's URL, by API.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use faas_engine::Selector;
use faas_ingress::{CallTarget, prefers_async, serve_call, sticky_key};
use faas_proto::rest::{AcceptedRun, Problem};
use faas_types::{Affinity, AliasName, InvocationMode, Scope, TriggerKind};
use faas_web::{Authorized, HandlerError, PathParams, QueryParams, RequestId};
use http::Uri;
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
        ("Prefer" = Option<String>, Header, description = "`respond-async` asks for a background run"),
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
    let (name, selector) = match id.split_once(':') {
        Some((name, selector)) => (name, selector.parse()?),
        None => (id.as_str(), Selector::Alias(AliasName::live())),
    };
    let headers = request.headers();
    let mark = |by: &Affinity| sticky_key(headers, by);
    let route = state.engine.runs.route_request(caller.project, name, &selector, mark).await?;
    let Some(request_id) = request.extensions().get::<RequestId>().cloned() else {
        return Ok(HandlerError(faas_types::Fault::internal("a request has no id")).into_response());
    };
    let details = caller.may(Scope::RunsRead) || route.tells_all();
    let (path, keyless) = ("/".to_owned(), false);
    let target = CallTarget { route, trigger: TriggerKind::Api, path, prefix: None, details, keyless };
    let later = match choice.mode {
        Some(mode) => mode == CallMode::Async,
        None => {
            let mode = target.route.version.settings.background.mode;
            mode == InvocationMode::Async || prefers_async(request.headers())
        }
    };
    *request.uri_mut() = without_mode(request.uri());
    Ok(serve_call(&state.engine, target, Box::new(request.into()), &request_id, later).await)
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
