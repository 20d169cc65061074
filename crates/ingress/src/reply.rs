//! The response to a call, from what the function replied.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use faas_engine::{Call, CallBody, CallFailure};
use faas_types::{RunId, Timeline, is_reserved_in_replies};
use faas_web::{RequestId, render, render_bare};
use futures_util::StreamExt;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::failure_detail::brief;
use crate::length_checked_body::LengthCheckedBody;
use crate::run_headers::{CALL_ID, RUN_ID, VERSION};
use crate::server_timing::{SERVER_TIMING, milliseconds, server_timing};

const DURATION: HeaderName = HeaderName::from_static("x-duration-ms");
const COLD_START: HeaderName = HeaderName::from_static("x-cold-start");

/// The most headers that the platform adds to a response.
const FACTS: usize = 8;

/// What the headers of a response say about its call.
struct CallFacts<'a> {
    run: Option<RunId>,
    version: Option<u32>,
    cold_start: bool,
    duration_us: u64,
    timeline: &'a Timeline,
}

/// The response to HEAD: it says how long the body of GET would be, and has no body.
pub(crate) async fn reply_to_head(call: Call, id: &RequestId) -> Response {
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

/// Drops the body, after the end of a streamed reply: dropped before, it would count as a caller that went away, and its instance
/// would be replaced.
pub(crate) async fn without_body(mut call: Call) -> Call {
    if matches!(call.body, CallBody::Stream(_)) {
        // A reply without a body can show neither the chunks nor a failure after the head.
        while let Some(Ok(_)) = call.body.next().await {}
    }
    call.body = CallBody::Whole(Bytes::new());
    call
}

/// Whether a response of this status has no body, whatever the function returned.
pub(crate) fn has_no_body(status: u16) -> bool {
    matches!(status, 204 | 205 | 304)
}

/// The response that the function chose.
pub(crate) fn reply(call: Call, id: &RequestId) -> Response {
    let length = call.announced_length().filter(|_| matches!(call.body, CallBody::Stream(_)));
    let body = match call.body {
        CallBody::Whole(bytes) => Body::from(bytes),
        CallBody::Stream(stream) => Body::new(LengthCheckedBody::new(stream, length)),
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

/// Copies the headers that a function may set. Reserved ones, and those that it lists in `Connection`, are left out.
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

/// The response to a call that failed; `bare` at a function's URL, where its own error is the whole body.
pub(crate) fn refuse(failure: &CallFailure, details: bool, bare: bool, id: &RequestId) -> Response {
    let render = if bare { render_bare } else { render };
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

/// Adds the platform's headers, which the function cannot set itself.
fn annotate(headers: &mut HeaderMap, id: &RequestId, facts: &CallFacts<'_>) {
    let duration_us = facts.duration_us;
    headers.insert(RequestId::HEADER, id.header());
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
