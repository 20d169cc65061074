//! Writes that are carried out once for each `Idempotency-Key`: their answers are kept, and repetitions get them.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use faas_engine::{Caller, ClaimHolder, Engine, NamedWrite, StoredReply, WriteClaim, WriteId};
use faas_types::{Code, Digest, Fault, Reason, limits};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::auth::{Authorized, key_of};
use crate::body::read_body;
use crate::problem::{HandlerError, render};
use crate::request_id::{self, RequestId};

/// Brings a caller's own name for a request.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Marks the answer of an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A route whose writes can be named.
pub(crate) struct WriteRoute {
    pub(crate) engine: Engine,
    /// Whether a write may be carried out again when the server died in its middle.
    pub(crate) is_repeatable: bool,
}

/// An answer with a field that only its first receiver gets. The kept answer has no value for it.
#[derive(Clone, Debug)]
pub struct WithSecret<T>(pub &'static str, pub T);

/// The field of an answer's body that is not kept.
#[derive(Clone, Copy)]
struct SecretField(&'static str);

/// The write that a handler carries out, if its caller named it.
#[derive(Clone, Copy, Debug)]
pub struct Named(pub Option<WriteId>);

// === impl WithSecret ===

impl<T: IntoResponse> IntoResponse for WithSecret<T> {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        response.extensions_mut().insert(SecretField(self.0));
        response
    }
}

// === impl Named ===

impl<S: Sync> FromRequestParts<S> for Named {
    type Rejection = HandlerError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, HandlerError> {
        Ok(Self(parts.extensions.get::<WriteId>().copied()))
    }
}

/// The value of a header that may be there once.
///
/// # Errors
/// `FN_012` when it is there twice: which one counts would be a guess.
pub fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h HeaderValue>, Fault> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(Fault::new(Reason::InvalidHeader, format!("the header `{name}` is there more than once"))
            .with_hint("send it once"));
    }
    Ok(value)
}

/// The `Idempotency-Key` of a request, if it has one.
///
/// # Errors
/// `FN_012` when it is there twice, or is not 1 to 255 characters of plain ASCII.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Fault> {
    let Some(value) = single(headers, &IDEMPOTENCY_KEY)? else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| (1..=limits::CALLER_KEY_MAX).contains(&text.len()));
    text.map(Some).ok_or_else(|| {
        let most = limits::CALLER_KEY_MAX;
        Fault::new(
            Reason::InvalidHeader,
            format!("the header `{IDEMPOTENCY_KEY}` cannot be used: 1 to {most} characters of plain ASCII"),
        )
    })
}

/// Carries a write with an `Idempotency-Key` out once.
pub(crate) async fn once(State(route): State<Arc<WriteRoute>>, request: Request, next: Next) -> Response {
    let is_write = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
    if !is_write || !request.headers().contains_key(IDEMPOTENCY_KEY) {
        return next.run(request).await;
    }
    answer(&route, request, next).await.unwrap_or_else(|fault| HandlerError(fault).into_response())
}

async fn answer(route: &WriteRoute, request: Request, next: Next) -> Result<Response, Fault> {
    let (mut head, body) = request.into_parts();
    let caller = head.extensions.get::<Authorized>().map(|Authorized(caller)| Arc::clone(caller));
    let caller = caller.ok_or_else(|| Fault::internal("a write with an idempotency key has no caller"))?;
    let name = idempotency_key(&head.headers)?.unwrap_or_default().to_owned();
    let id = head.extensions.get::<RequestId>().cloned();
    let id = id.ok_or_else(|| Fault::internal("a request has no id"))?;
    let body = read_body(&head.headers, body, limits::BODY_MAX).await?;
    match route.engine.runs.claim_write(named(route, &caller, &name, &head, &body)).await? {
        WriteClaim::Again(reply) => Ok(replay(reply)),
        WriteClaim::First(holder, write) => {
            head.extensions.insert(write);
            let request = Request::from_parts(head, Body::from(body));
            // In a task: what a caller that goes away began is done, and its answer is kept.
            let done = async move { keep(holder, &id, next.run(request).await).await };
            route.engine.runs.finish(done).await
        }
    }
}

/// Names of different callers never meet, so no caller gets the answer of another. Bodies may hold secrets: they are hashed with
/// the caller's API key, which the server does not keep.
fn named(route: &WriteRoute, caller: &Caller, name: &str, head: &Parts, body: &Bytes) -> NamedWrite {
    let secret = key_of(&head.headers).unwrap_or_default();
    let mut hasher = blake3::Hasher::new_keyed(&blake3::derive_key("faas: fingerprints of writes", secret.as_bytes()));
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    for part in [head.method.as_str().as_bytes(), target.as_bytes(), body] {
        hasher.update(&(part.len() as u64).to_be_bytes()).update(part);
    }
    NamedWrite {
        project: caller.project,
        // No caller's own name for something holds a line break.
        key: format!("{name}\n{}", caller.key),
        fingerprint: Digest::from_bytes(*hasher.finalize().as_bytes()),
        is_repeatable: route.is_repeatable || head.method != Method::POST,
    }
}

/// Keeps an answer that is final. One that may differ when the request is sent again leaves its name free.
async fn keep(holder: ClaimHolder, id: &RequestId, mut response: Response) -> Response {
    if let Some(HandlerError(fault)) = response.extensions().get::<HandlerError>() {
        if fault.is_retryable() || status_passes(response.status()) {
            holder.release().await;
            return response;
        }
        response = render(fault, id, None);
    } else if status_passes(response.status()) {
        holder.release().await;
        return response;
    }
    let secret = response.extensions_mut().remove::<SecretField>();
    let (mut head, body) = response.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        // Dropped, the holder leaves its name free.
        return HandlerError(Fault::internal("an answer broke off")).into_response();
    };
    head.headers.remove(request_id::HEADER);
    let text = |value: &HeaderValue| value.as_bytes().iter().map(|&byte| char::from(byte)).collect::<String>();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let kept = secret.map_or_else(|| body.clone(), |SecretField(field)| without(field, &body));
    holder.store(&StoredReply { status: head.status.as_u16(), headers, body: kept }).await;
    Response::from_parts(head, Body::from(body))
}

/// Whether a failure may pass.
fn status_passes(status: StatusCode) -> bool {
    status.is_server_error() || status.as_u16() == Code::RateLimited.http_status()
}

/// A JSON object with `null` in place of a field.
fn without(field: &str, body: &Bytes) -> Bytes {
    let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body);
    let kept = object.ok().and_then(|mut object| {
        if let Some(secret) = object.get_mut(field) {
            *secret = serde_json::Value::Null;
        }
        serde_json::to_vec(&object).ok()
    });
    kept.unwrap_or_default().into()
}

/// The answer to a repeated request.
#[must_use]
pub fn replay(reply: StoredReply) -> Response {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY);
    for (name, value) in reply.headers {
        let bytes: Vec<u8> = value.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect();
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(&bytes)) {
            response.headers_mut().append(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_once_and_plain() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
            }
            headers
        };
        assert_eq!(idempotency_key(&headers(&[])), Ok(None));
        assert_eq!(idempotency_key(&headers(&["a b"])), Ok(Some("a b")));
        for bad in [&["a", "a"][..], &[""], &["é"], &[&"k".repeat(256)]] {
            let fault = idempotency_key(&headers(bad)).expect_err("bad");
            assert_eq!(fault.reason, Reason::InvalidHeader, "{bad:?}");
        }
    }

    #[test]
    fn a_secret_is_not_kept() {
        let kept = without("token", &Bytes::from_static(br#"{"token": "t", "id": "k", "at": 1}"#));
        let kept: serde_json::Value = serde_json::from_slice(&kept).expect("JSON");
        assert_eq!(kept, serde_json::json!({ "token": null, "id": "k", "at": 1 }));
        assert_eq!(without("token", &Bytes::from_static(b"\"token\"")), Bytes::new());
    }
}
