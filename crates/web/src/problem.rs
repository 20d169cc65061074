//! The one place where a fault becomes an HTTP answer.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use faas_proto::rest::{FunctionFailure, Problem};
use faas_types::{Code, Fault, RunId, Timestamp};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::request_id::{self, RequestId};

/// Says whether a failure is the platform's or the function's own.
pub const ERROR_SOURCE: HeaderName = HeaderName::from_static("x-error-source");

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
pub async fn render_problems(mut request: Request, next: Next) -> Response {
    let millis = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis();
    let now = Timestamp::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
    let id = RequestId::of(request.headers(), now);
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
    response
}

/// The response for a fault: the function's own error where there is one, otherwise a problem.
#[must_use]
pub fn render(fault: &Fault, id: &RequestId, run: Option<RunId>) -> Response {
    let (media_type, source, body) = match (&fault.function_error, run) {
        (Some(error), Some(run)) => {
            let failure =
                FunctionFailure { error: (**error).clone(), code: fault.code.to_string(), run_id: run.to_string() };
            ("application/json", "function", serde_json::to_vec(&failure))
        }
        _ => ("application/problem+json", "platform", serde_json::to_vec(&problem(fault, id, run))),
    };
    // Bodies of plain strings and numbers always encode.
    let mut response = Response::new(Body::from(body.unwrap_or_default()));
    *response.status_mut() = status(fault.code);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(ERROR_SOURCE, HeaderValue::from_static(source));
    headers.insert(request_id::HEADER, id.header());
    if let Some(seconds) = fault.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if fault.code == Code::Unauthenticated {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"faas\""));
    }
    response
}

/// A fault as a document, for answers that have begun.
#[must_use]
pub fn problem(fault: &Fault, id: &RequestId, run: Option<RunId>) -> Problem {
    Problem {
        kind: format!("/errors/{}", fault.code),
        title: fault.code.title().to_owned(),
        status: fault.code.http_status(),
        detail: fault.message.clone(),
        code: fault.code.to_string(),
        request_id: id.as_str().to_owned(),
        run_id: run.map(|run| run.to_string()),
        retryable: fault.is_retryable(),
        hint: fault.hint.clone(),
        docs: format!("faas explain {}", fault.code),
        function_error: fault.function_error.as_deref().cloned(),
    }
}

fn status(code: Code) -> StatusCode {
    StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
