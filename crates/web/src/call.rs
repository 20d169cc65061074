//! Between an HTTP request and a function's call.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use faas_engine::{Call, CallBody, CallFailure, CallRequest, Engine, InvocationBody, Route};
use faas_types::is_reserved_in_replies;
use faas_types::{RunId, Timeline, TriggerKind};
use futures_util::StreamExt;
use http::header::{CONTENT_LENGTH, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::auth::carries_key;
use crate::body::body_of_call;
use crate::edge::Origin;
use crate::inbound::Inbound;
use crate::problem::brief;
use crate::promised::Promised;
use crate::render;
use crate::request_id::{self, RequestId};
use crate::timing::{SERVER_TIMING, milliseconds, server_timing};

pub(crate) const RUN_ID: HeaderName = HeaderName::from_static("x-run-id");
pub(crate) const CALL_ID: HeaderName = HeaderName::from_static("x-call-id");
const DURATION: HeaderName = HeaderName::from_static("x-duration-ms");
const COLD_START: HeaderName = HeaderName::from_static("x-cold-start");
const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
pub(crate) const VERSION: HeaderName = HeaderName::from_static("x-function-version");

/// Headers of ours that an answer has at the most.
const FACTS: usize = 8;
/// Headers that a function gets besides the caller's.
const ADDED: usize = 6;

/// Where a call goes and how it came.
pub struct CallTarget {
    /// The function and version.
    pub route: Route,
    /// What made the run.
    pub trigger: TriggerKind,
    /// The path below the function's URL.
    pub path: String,
    /// What the function's URL has before that path, so that its own links can lead back: `/fn/hello`.
    pub prefix: Option<String>,
    /// Whether the caller may know why the function failed.
    pub details: bool,
    /// Whether the caller showed no key that may call the function.
    pub keyless: bool,
}

/// What the headers of an answer tell of its call.
struct CallFacts<'a> {
    run: Option<RunId>,
    version: Option<u32>,
    cold_start: bool,
    duration_us: u64,
    timeline: &'a Timeline,
}

/// Calls a function with a request and gives its answer, whatever it is.
pub async fn answer_call(engine: &Engine, target: CallTarget, mut inbound: Box<Inbound>, id: &RequestId) -> Response {
    let body = std::mem::take(&mut inbound.body);
    let streams = target.route.version.streams_bodies;
    match body_of_call(&inbound.head.headers, body, streams, engine.room_for_body(&target.route)).await {
        Ok(body) => answer_with(engine, target, inbound, body, id).await,
        Err(fault) => render(&fault, id, None),
    }
}

/// The same for a request whose body was taken in.
pub(crate) async fn answer_with(
    engine: &Engine,
    target: CallTarget,
    inbound: Box<Inbound>,
    body: InvocationBody,
    id: &RequestId,
) -> Response {
    let (is_to_head, details) = (inbound.head.method == Method::HEAD, target.details);
    let (body, arriving) = match body {
        InvocationBody::Whole(body) => (body, None),
        InvocationBody::Stream(arriving) => (Bytes::new(), Some(arriving)),
    };
    let (route, call) = call_of(target, &inbound.head, inbound.origin.as_deref(), body);
    // Nothing of it is needed while the function runs.
    drop(inbound);
    let answer = match arriving {
        Some(arriving) => Box::pin(engine.call_streaming(route, call, arriving)).await,
        None => engine.call(route, call).await,
    };
    match answer {
        Ok(call) if is_to_head => Box::pin(reply_to_head(call, id)).await,
        Ok(call) if has_no_body(call.head.status) => reply(Box::pin(without_body(call)).await, id),
        Ok(call) => reply(call, id),
        Err(failure) => refuse(&failure, details, id),
    }
}

/// What a function is called with, and where it is.
pub(crate) fn call_of(target: CallTarget, head: &Parts, origin: Option<&Origin>, body: Bytes) -> (Route, CallRequest) {
    let call = CallRequest {
        trigger: target.trigger,
        trigger_name: None,
        method: head.method.as_str().to_owned(),
        path: target.path,
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: passed_headers(head, origin, target.prefix),
        body,
    };
    (target.route, call)
}

/// An answer to HEAD says how long the body is that GET has, and has none.
async fn reply_to_head(call: Call, id: &RequestId) -> Response {
    let length = call.announced_length().or_else(|| match &call.body {
        CallBody::Whole(body) if !body.is_empty() => Some(body.len() as u64),
        _ => None,
    });
    let length = length.filter(|_| !has_no_body(call.head.status));
    let mut response = reply(without_body(call).await, id);
    if let Some(length) = length {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// Lets a streamed reply end before its body is left out: dropped half-way, it would count as a caller that went away,
/// and its instance would be lost.
async fn without_body(mut call: Call) -> Call {
    if matches!(call.body, CallBody::Stream(_)) {
        // Its chunks, and a failure after the head, are nothing that a reply without a body could tell.
        while let Some(Ok(_)) = call.body.next().await {}
    }
    call.body = CallBody::Whole(Bytes::new());
    call
}

/// Whether a message of this status ends with its head, whatever the function gave as its body.
fn has_no_body(status: u16) -> bool {
    matches!(status, 204 | 205 | 304)
}

/// The headers that the function sees: all but keys of the platform, and on whose behalf the call comes. HTTP/2 names the
/// host outside of the headers; functions look for it there.
pub(crate) fn passed_headers(parts: &Parts, origin: Option<&Origin>, prefix: Option<String>) -> Vec<(String, String)> {
    let headers = &parts.headers;
    let host = parts.uri.authority().filter(|_| !headers.contains_key(HOST));
    let host = host.map(|authority| (HOST.as_str().to_owned(), authority.as_str().to_owned()));
    let prefix = prefix.map(|prefix| (PREFIX.as_str().to_owned(), prefix));
    let origin = origin.map(Origin::fields);
    let own = headers.iter().filter(|(_, value)| !carries_key(value));
    let mut passed = Vec::with_capacity(headers.len() + ADDED);
    passed.extend(own.map(|(name, value)| (name.as_str().to_owned(), latin1(value.as_bytes()))));
    passed.extend(host.into_iter().chain(prefix).chain(origin.into_iter().flatten()));
    passed
}

/// Header values are bytes; as text each byte becomes the character of the same number.
fn latin1(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => text.to_owned(),
        _ => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

fn reply(call: Call, id: &RequestId) -> Response {
    let length = call.announced_length().filter(|_| matches!(call.body, CallBody::Stream(_)));
    let body = match call.body {
        CallBody::Whole(bytes) => Body::from(bytes),
        CallBody::Stream(stream) => Body::new(Promised::new(stream, length)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(call.head.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = response.headers_mut();
    headers.reserve(call.head.headers.len() + FACTS);
    reply_headers(&call.head.headers, headers);
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let facts = CallFacts {
        run: Some(call.run),
        version: Some(call.version),
        cold_start: call.cold_start,
        duration_us: call.duration_us,
        timeline: &call.timeline,
    };
    annotate(headers, id, &facts);
    response
}

/// The headers that a function may set of its reply. What it names in `Connection` is about its own connection.
pub(crate) fn reply_headers(set: &[(String, String)], headers: &mut HeaderMap) {
    let options = set.iter().filter(|(name, _)| name == "connection").flat_map(|(_, value)| value.split(','));
    let options: Vec<String> = options.map(|word| word.trim().to_ascii_lowercase()).collect();
    for (name, value) in set {
        if is_reserved_in_replies(name) || options.contains(name) {
            continue;
        }
        let name = HeaderName::try_from(name.as_str());
        let value = HeaderValue::from_bytes(&value.chars().map(to_byte).collect::<Vec<u8>>());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
}

fn to_byte(character: char) -> u8 {
    u8::try_from(u32::from(character)).unwrap_or(b'?')
}

fn refuse(failure: &CallFailure, details: bool, id: &RequestId) -> Response {
    let mut response = render(&brief(&failure.fault, details), id, failure.run);
    let facts = CallFacts {
        run: failure.run,
        version: failure.version,
        cold_start: failure.cold_start,
        duration_us: failure.duration_us,
        timeline: &failure.timeline,
    };
    annotate(response.headers_mut(), id, &facts);
    response
}

/// The headers that every invocation answers with. The function cannot set them itself.
fn annotate(headers: &mut HeaderMap, id: &RequestId, facts: &CallFacts<'_>) {
    let duration_us = facts.duration_us;
    headers.insert(request_id::HEADER, id.header());
    headers.insert(COLD_START, HeaderValue::from_static(if facts.cold_start { "true" } else { "false" }));
    headers.append(SERVER_TIMING, server_timing(facts.timeline, duration_us));
    headers.insert(DURATION, milliseconds(duration_us));
    if let Some(run) = facts.run {
        let run = HeaderValue::try_from(run.to_string()).unwrap_or(HeaderValue::from_static("?"));
        headers.insert(CALL_ID, run.clone());
        headers.insert(RUN_ID, run);
    }
    if let Some(version) = facts.version {
        headers.insert(VERSION, HeaderValue::from(version));
    }
}
