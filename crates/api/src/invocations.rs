//! `/api/v1/functions/{function}/invocations`: a call whose request and answer are documents.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use faas_ingress::serve_call;
use faas_proto::rest::{AcceptedRun, InvocationHeader, InvocationRequest, InvocationView, InvocationWait, Problem};
use faas_types::{Code, Fault, FieldError, FieldRule, JsonText, Reason, RequestField, limits};
use faas_web::{Authorized, ERROR_SOURCE, HandlerError, Inbound, Json, PathParams, RequestId, RequestOrigin};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use crate::invoke::target_of;
use crate::state::ApiState;

/// Calls a function with any method, path and headers, and answers with a record of what came back, also where the function
/// failed. No trigger is asked: what the function serves at its URL is for callers there.
#[utoipa::path(post, path = "/api/v1/functions/{function}/invocations", operation_id = "invocations.create", tag = "invoke",
    params(("function" = String, Path, description = "name or id, with `:alias` or `:version` behind it where wanted")),
    request_body = InvocationRequest, responses(
    (status = 200, description = "what the function answered", body = InvocationView),
    (status = 202, description = "a background run", body = AcceptedRun, headers(("Location" = String, description = "the run"))),
    (status = 404, description = "no such function, version or alias", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "too many calls wait", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn create_invocation(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(function): PathParams<String>,
    head: Parts,
    Json(asked): Json<InvocationRequest>,
) -> Result<Response, HandlerError> {
    let later = asked.mode == InvocationWait::Async;
    let path = asked.path.clone().unwrap_or_else(|| "/".to_owned());
    let request = request(asked)?;
    let target = target_of(&state, &caller, &function, request.headers(), path).await?;
    let request_id = head.extensions.get::<RequestId>().cloned();
    let request_id = request_id.ok_or_else(|| Fault::internal("a request has no id"))?;
    let mut inbound: Inbound = request.into();
    inbound.origin = head.extensions.get::<Arc<RequestOrigin>>().cloned();
    let response = serve_call(&state.engine, target, Box::new(inbound), &request_id, later).await;
    let source = response.headers().get(ERROR_SOURCE).map(HeaderValue::as_bytes);
    // A refusal of the platform is that of this request, and a background run has no answer yet.
    if later || source == Some(b"platform") {
        return Ok(response);
    }
    record(response).await.map(|view| Json(view).into_response()).map_err(HandlerError)
}

/// The request that a document describes.
fn request(asked: InvocationRequest) -> Result<Request, Fault> {
    let InvocationRequest { method, path, query, headers, body, body_text, body_base64, .. } = asked;
    let method: Method = match method {
        Some(text) => text.parse().map_err(|_| wrong("/method", "method: it is not a method of HTTP"))?,
        None => Method::POST,
    };
    if method == Method::CONNECT {
        return Err(wrong("/method", "method: CONNECT is not for functions"));
    }
    let path = path.unwrap_or_else(|| "/".to_owned());
    if !path.starts_with('/') || path.contains(['?', '#']) {
        return Err(wrong("/path", "path: it begins with / and has no query"));
    }
    let target = query.map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
    let uri: Uri =
        target.parse().map_err(|_| wrong("/path", "path: with the query it is not a part of a URL; escape it"))?;
    let given = [body.is_some(), body_text.is_some(), body_base64.is_some()].into_iter().filter(|is| *is).count();
    if given > 1 {
        return Err(wrong("/body", "body: only one of body, body_text and body_base64 may be there"));
    }
    let (kind, bytes) = match (body, body_text, body_base64) {
        (Some(json), ..) => (Some("application/json"), Bytes::from(json.text().to_owned())),
        (_, Some(text), _) => (Some("text/plain; charset=utf-8"), Bytes::from(text)),
        (.., Some(base64)) => {
            let bytes =
                BASE64_STANDARD.decode(base64).map_err(|_| wrong("/body_base64", "body_base64: it is not base64"))?;
            (Some("application/octet-stream"), Bytes::from(bytes))
        }
        _ => (None, Bytes::new()),
    };
    let mut request = Request::new(Body::from(bytes.clone()));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = header_map(&headers)?;
    let headers = request.headers_mut();
    if let Some(kind) = kind.filter(|_| !headers.contains_key(CONTENT_TYPE)) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    Ok(request)
}

fn header_map(given: &[InvocationHeader]) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::with_capacity(given.len() + 2);
    for (at, InvocationHeader { name, value }) in given.iter().enumerate() {
        let pointer = format!("/headers/{at}");
        let header = name.parse::<HeaderName>();
        let header = header.map_err(|_| wrong(&pointer, &format!("headers[{at}]: it has no name of a header")))?;
        let is_ours = RequestField::of(header.as_str()) != RequestField::Passed;
        if is_ours || [CONTENT_LENGTH, TRANSFER_ENCODING, HOST].contains(&header) {
            return Err(wrong(&pointer, &format!("headers[{at}]: `{header}` is for the platform to say")));
        }
        let value = HeaderValue::from_str(value).map_err(|_| {
            wrong(&pointer, &format!("headers[{at}]: the value of `{header}` has characters that headers cannot have"))
        })?;
        headers.append(header, value);
    }
    Ok(headers)
}

/// What came back, as a document.
async fn record(response: Response) -> Result<InvocationView, Fault> {
    let (head, body) = response.into_parts();
    let most = usize::try_from(limits::BODY_MAX).unwrap_or(usize::MAX);
    let bytes = to_bytes(body, most).await.map_err(|error| {
        let message = format!("the answer broke off, or has more than {most} bytes: {error}");
        Fault::new(Reason::ReplyTooLarge, message).with_hint("call the function at its URL, where answers are streamed")
    })?;
    let said = |name: &str| head.headers.get(name)?.to_str().ok();
    let mut view = InvocationView {
        run_id: said("x-run-id").map(str::to_owned),
        version: said("x-function-version").and_then(|text| text.parse().ok()),
        status: head.status.as_u16(),
        headers: head.headers.iter().map(|(name, value)| header_view(name, value)).collect(),
        body: None,
        body_text: None,
        body_base64: None,
        error: None,
        code: None,
        duration_ms: said("x-duration-ms").and_then(|text| text.parse().ok()),
        cold_start: said("x-cold-start").map(|text| text == "true"),
    };
    if head.headers.get(ERROR_SOURCE).is_some_and(|source| source == "function") {
        let problem: Problem = serde_json::from_slice(&bytes)
            .map_err(|error| Fault::internal(format!("a problem is not one: {error}")))?;
        return Ok(InvocationView {
            error: problem.function_error,
            code: Some(problem.code),
            headers: Vec::new(),
            ..view
        });
    }
    view.body = JsonText::parse(&bytes).and_then(JsonText::shallow);
    if view.body.is_none() && !bytes.is_empty() {
        match String::from_utf8(bytes.into()) {
            Ok(text) => view.body_text = Some(text),
            Err(error) => view.body_base64 = Some(BASE64_STANDARD.encode(error.into_bytes())),
        }
    }
    Ok(view)
}

/// Values are bytes; as text each becomes the character of the same number.
fn header_view(name: &HeaderName, value: &HeaderValue) -> InvocationHeader {
    let value = value.as_bytes().iter().map(|&byte| char::from(byte)).collect();
    InvocationHeader { name: name.to_string(), value }
}

fn wrong(pointer: &str, message: &str) -> Fault {
    let field =
        FieldError { pointer: pointer.to_owned(), rule: FieldRule::Invalid, message: message.to_owned(), value: None };
    Fault::new(Code::InvalidConfiguration, message).with_reason(Reason::InvalidBody).with_errors(vec![field])
}
