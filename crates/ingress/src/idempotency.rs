//! Calls with an `Idempotency-Key` whose callers wait: the response is stored, and repetitions get it without another run.

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use faas_engine::{CallRequest, ClaimHolder, Engine, HttpRequest, InvocationBody, KeyClaim, StoredReply};
use faas_types::Fault;
use faas_web::{ERROR_SOURCE, Inbound, RequestId, RequestOrigin, idempotency_key, render, replay};
use futures_util::StreamExt;
use http::header::SET_COOKIE;
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use crate::call::answer_with;
use crate::call_body::held_body;
use crate::request_headers::passed_headers;
use crate::target::CallTarget;

/// Calls a function once for each key, and answers every request with the key.
pub(crate) async fn answer_once(
    engine: &Engine,
    target: CallTarget,
    mut inbound: Box<Inbound>,
    id: &RequestId,
) -> Response {
    let body = std::mem::take(&mut inbound.body);
    match claim(engine, &target, &inbound.head, inbound.origin.as_deref(), body).await {
        Ok((KeyClaim::First { holder, is_proven }, body)) => {
            let response = answer_with(engine, target, inbound, InvocationBody::Whole(body), id).await;
            store(holder, is_proven, response).await
        }
        Ok((KeyClaim::Again(reply), _)) => again(reply, id),
        Err(fault) => render(&fault, id, None),
    }
}

/// Collects the request's body and claims its key.
async fn claim(
    engine: &Engine,
    target: &CallTarget,
    head: &Parts,
    origin: Option<&RequestOrigin>,
    body: Body,
) -> Result<(KeyClaim, Bytes), Fault> {
    let body = held_body(&head.headers, body, engine.runs.room_for_body(&target.route)).await?;
    let name = idempotency_key(&head.headers)?.unwrap_or_default().to_owned();
    let request = HttpRequest {
        method: head.method.as_str().to_owned(),
        path: target.path.clone(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: passed_headers(head, origin, None),
    };
    let call = CallRequest::http(target.trigger, request, body.clone());
    let claim = engine.runs.once(&target.route, name, &call, target.keyless).await?;
    Ok((claim, body))
}

/// Stores a response that the function chose. A failure releases the key, so that the request may be tried again.
async fn store(holder: ClaimHolder, is_proven: bool, response: Response) -> Response {
    let is_failure = response.status().is_server_error() || response.status() == StatusCode::TOO_MANY_REQUESTS;
    if response.headers().contains_key(ERROR_SOURCE) || is_failure {
        holder.release().await;
        return response;
    }
    let (head, body) = response.into_parts();
    let mut chunks = body.into_data_stream();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            // The reply broke off: the caller gets the error, and the dropped holder releases the key.
            Err(error) => {
                let broken = futures_util::stream::once(async move { Err::<Bytes, _>(error) });
                return Response::from_parts(head, Body::from_stream(broken));
            }
        }
    }
    let bytes = bytes.freeze();
    let text = |value: &HeaderValue| value.as_bytes().iter().map(|&byte| char::from(byte)).collect::<String>();
    // A cookie may authenticate its holder: only the first caller gets it, or a caller that proved to be the same.
    let stored = head.headers.iter().filter(|(name, _)| is_proven || **name != SET_COOKIE);
    let headers = stored.map(|(name, value)| (name.to_string(), text(value))).collect();
    holder.store(&StoredReply { status: head.status.as_u16(), headers, body: bytes.clone() }).await;
    Response::from_parts(head, Body::from(bytes))
}

fn again(reply: StoredReply, id: &RequestId) -> Response {
    let mut response = replay(reply);
    response.headers_mut().insert(RequestId::HEADER, id.header());
    response
}
