//! The one place where a fault becomes an HTTP answer.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use faas_proto::rest::{FunctionFailure, Problem, RetryView};
use faas_types::{Code, Executed, Fault, RunId, Timestamp};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::request_id::{self, RequestId, ServerUrl};

/// Says whether a failure is the platform's or the function's own.
pub const ERROR_SOURCE: HeaderName = HeaderName::from_static("x-error-source");

/// The release that answers.
const FAAS_VERSION: HeaderName = HeaderName::from_static("faas-version");
/// How much is left of a limit, and when there is more (draft-ietf-httpapi-ratelimit-headers).
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// A fault on its way out of a handler; [`render_problems`] gives it its body.
#[derive(Clone, Debug)]
pub struct HandlerError(pub Fault);

// === impl HandlerError ===

impl From<Fault> for HandlerError {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl IntoResponse for HandlerError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status(self.0.code);
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives every answer its request id, and every failure its body. Outermost of the control plane.
pub async fn render_problems(State(server): State<ServerUrl>, mut request: Request, next: Next) -> Response {
    let millis = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis();
    let now = Timestamp::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
    let id = RequestId::of(request.headers(), now).at(server);
    request.extensions_mut().insert(id.clone());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    if let Some(HandlerError(fault)) = response.extensions_mut().remove::<HandlerError>() {
        if fault.code == Code::Internal {
            tracing::error!(request_id = id.as_str(), %method, path, error = %fault, "request failed");
        }
        let allow = response.headers_mut().remove(ALLOW);
        response = render(&fault, &id, None);
        if let Some(allow) = allow {
            response.headers_mut().insert(ALLOW, allow);
        }
    }
    response.headers_mut().insert(request_id::HEADER, id.header());
    response.headers_mut().insert(FAAS_VERSION, HeaderValue::from_static(env!("CARGO_PKG_VERSION")));
    response
}

/// The response to a request that failed.
#[must_use]
pub fn render(fault: &Fault, id: &RequestId, run: Option<RunId>) -> Response {
    finished(fault, id, run, "application/problem+json", serde_json::to_vec(&problem(fault, id, run)))
}

/// The response at a function's URL: the function's own error is its whole body, as it would be without the platform.
#[must_use]
pub fn render_bare(fault: &Fault, id: &RequestId, run: Option<RunId>) -> Response {
    let (Some(error), Some(run)) = (&fault.function_error, run) else { return render(fault, id, run) };
    let failure = FunctionFailure { error: (**error).clone(), code: fault.code.to_string(), run_id: run.to_string() };
    finished(fault, id, Some(run), "application/json", serde_json::to_vec(&failure))
}

fn finished(
    fault: &Fault,
    id: &RequestId,
    run: Option<RunId>,
    media_type: &'static str,
    body: serde_json::Result<Vec<u8>>,
) -> Response {
    let source = if fault.function_error.is_some() && run.is_some() { "function" } else { "platform" };
    // Bodies of plain strings and numbers always encode.
    let mut response = Response::new(Body::from(body.unwrap_or_default()));
    *response.status_mut() = status(fault.code);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(ERROR_SOURCE, HeaderValue::from_static(source));
    headers.insert(request_id::HEADER, id.header());
    if let Some(seconds) = fault.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        if is_limit(fault.code) {
            let left = HeaderValue::try_from(format!("\"{}\";r=0;t={seconds}", fault.reason));
            headers.insert(RATE_LIMIT, left.unwrap_or(HeaderValue::from_static("\"limit\";r=0")));
        }
    }
    if fault.code == Code::Unauthenticated {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"faas\""));
    }
    response
}

/// A fault as a document, for answers that have begun.
#[must_use]
pub fn problem(fault: &Fault, id: &RequestId, run: Option<RunId>) -> Problem {
    let server = id.server();
    let (after_ms, executed) = (fault.retry_after_ms(), fault.executed());
    Problem {
        kind: format!("{server}/errors/{}", fault.code),
        title: fault.code.title().to_owned(),
        status: fault.code.http_status(),
        detail: fault.message.clone(),
        code: fault.code.to_string(),
        reason: fault.reason.to_string(),
        errors: fault.errors.clone(),
        retry: RetryView { safe: after_ms.is_some() && executed == Executed::No, after_ms, executed },
        request_id: id.as_str().to_owned(),
        run_id: run.map(|run| run.to_string()),
        hint: fault.api_hint().map(str::to_owned),
        cli_hint: fault.hint.clone().filter(|_| fault.hint_is_command),
        docs_url: format!("{server}/errors/{}", fault.reason),
        function_error: fault.function_error.as_deref().cloned(),
    }
}

/// Whether a failure of this code means that a limit is used up for now.
fn is_limit(code: Code) -> bool {
    code.http_status() == StatusCode::TOO_MANY_REQUESTS.as_u16()
}

fn status(code: Code) -> StatusCode {
    StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests {
    use faas_types::Reason;

    use super::*;

    #[test]
    fn whether_to_send_it_again_is_of_the_occurrence() {
        let id = RequestId::from(HeaderValue::from_static("r")).at(ServerUrl::new("http://a/"));
        let view = |safe, after_ms, executed| RetryView { safe, after_ms, executed };
        let (taken, lost) = (Fault::new(Reason::NameTaken, "taken"), Fault::new(Code::Unavailable, "lost"));
        for (fault, expected) in [
            (taken, view(false, None, Executed::No)),
            (Fault::new(Code::Overloaded, "busy").with_retry_after(2), view(true, Some(2_000), Executed::No)),
            (Fault::new(Code::TimeoutExceeded, "late"), view(false, Some(1_000), Executed::Yes)),
            (Fault::new(Code::RuntimeError, "raised"), view(false, None, Executed::Yes)),
            (Fault::internal("broken"), view(false, Some(1_000), Executed::Unknown)),
            (lost.with_executed(Executed::Unknown), view(false, Some(1_000), Executed::Unknown)),
        ] {
            let problem = problem(&fault, &id, None);
            assert_eq!(problem.retry, expected, "{fault}");
            assert_eq!(problem.docs_url, format!("http://a/errors/{}", fault.reason));
        }
    }

    #[test]
    fn hints_are_for_their_readers() {
        let id = RequestId::from(HeaderValue::from_static("r"));
        let hints = |fault: &Fault| {
            let problem = problem(fault, &id, None);
            (problem.hint, problem.cli_hint)
        };
        let missing = Fault::new(Reason::RunNotFound, "no run");
        let of_reason = Some("list runs with GET /api/v1/runs".to_owned());
        assert_eq!(hints(&missing), (of_reason.clone(), None));
        let for_people = missing.clone().with_command_hint("run `faas runs list`");
        assert_eq!(hints(&for_people), (of_reason, Some("run `faas runs list`".to_owned())));
        assert_eq!(hints(&missing.with_hint("look")), (Some("look".to_owned()), None));
    }
}
