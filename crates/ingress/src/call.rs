//! A call whose caller waits for the function's reply.

use axum::response::Response;
use faas_engine::{Engine, InvocationBody};
use faas_web::{Inbound, RequestId, render};
use http::Method;

use crate::call_body::body_of_call;
use crate::reply::{has_no_body, refuse, reply, reply_to_head, without_body};
use crate::request_headers::call_of;
use crate::target::CallTarget;

/// Calls a function with a request and returns its response.
pub(crate) async fn answer_call(
    engine: &Engine,
    target: CallTarget,
    mut inbound: Box<Inbound>,
    id: &RequestId,
) -> Response {
    let body = std::mem::take(&mut inbound.body);
    let streams = target.route.version.streams_bodies;
    match body_of_call(&inbound.head.headers, body, streams, engine.runs.room_for_body(&target.route)).await {
        Ok(body) => answer_with(engine, target, inbound, body, id).await,
        Err(fault) => render(&fault, id, None),
    }
}

/// The same for a request whose body has been read.
pub(crate) async fn answer_with(
    engine: &Engine,
    target: CallTarget,
    inbound: Box<Inbound>,
    body: InvocationBody,
    id: &RequestId,
) -> Response {
    let (is_to_head, details) = (inbound.head.method == Method::HEAD, target.details);
    // The API's own route to a function adds no prefix.
    let bare = target.prefix.is_some();
    let (route, call) = call_of(target, &inbound.head, inbound.origin.as_deref(), body);
    // Nothing of it is needed while the function runs.
    drop(inbound);
    match engine.runs.call(route, call).await {
        Ok(call) if is_to_head => Box::pin(reply_to_head(call, id)).await,
        Ok(call) if has_no_body(call.head.status) => reply(Box::pin(without_body(call)).await, id),
        Ok(call) => reply(call, id),
        Err(failure) => refuse(&failure, details, bare, id),
    }
}
