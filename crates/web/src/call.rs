//! Between an HTTP request and a function's call.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use faas_engine::{Call, CallBody, CallFailure, CallRequest, Engine, InvocationBody, Route};
use faas_types::{RunId, Timeline, TriggerKind};
use futures_util::{StreamExt, TryStreamExt};
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::body::body_of_call;
use crate::problem::ERROR_SOURCE;
use crate::request_id::{self, RequestId};
use crate::timing::{SERVER_TIMING, server_timing};
use crate::{key_of, render};

pub(crate) const RUN_ID: HeaderName = HeaderName::from_static("x-run-id");
pub(crate) const CALL_ID: HeaderName = HeaderName::from_static("x-call-id");
const DURATION: HeaderName = HeaderName::from_static("x-duration-ms");
const COLD_START: HeaderName = HeaderName::from_static("x-cold-start");
const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
pub(crate) const VERSION: HeaderName = HeaderName::from_static("x-function-version");

/// Headers of ours that an answer has at the most.
const FACTS: usize = 8;

/// Headers of a reply that the function cannot set: they frame the message, or tell whose failure it is.
const OURS: [HeaderName; 4] = [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, ERROR_SOURCE];

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
    /// Whether the request's key was checked by the platform; it is then kept from the function.
    pub key_was_used: bool,
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
pub async fn answer_call(engine: &Engine, target: CallTarget, request: Request, id: &RequestId) -> Response {
    let (parts, body) = request.into_parts();
    let streams = target.route.version.streams_bodies;
    let (body, arriving) = match body_of_call(&parts.headers, body, streams, engine.bodies()).await {
        Ok(InvocationBody::Whole(body)) => (body, None),
        Ok(InvocationBody::Stream(arriving)) => (bytes::Bytes::new(), Some(arriving)),
        Err(fault) => return render(&fault, id, None),
    };
    let call = CallRequest {
        trigger: target.trigger,
        trigger_name: None,
        method: parts.method.as_str().to_owned(),
        path: target.path,
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: passed_headers(&parts, target.prefix, target.key_was_used),
        body,
    };
    let answer = match arriving {
        Some(arriving) => engine.call_streaming(target.route, call, arriving).await,
        None => engine.call(target.route, call).await,
    };
    match answer {
        Ok(call) if parts.method == Method::HEAD => reply(without_body(call).await, id),
        Ok(call) => reply(call, id),
        Err(failure) => refuse(&failure, id),
    }
}

/// Lets a streamed reply end before its body is left out: dropped half-way, it would count as a caller that went away,
/// and its instance would be lost.
async fn without_body(mut call: Call) -> Call {
    if matches!(call.body, CallBody::Stream(_)) {
        // Its chunks, and a failure after the head, are nothing that an answer to HEAD could tell.
        while let Some(Ok(_)) = call.body.next().await {}
        call.body = CallBody::Whole(bytes::Bytes::new());
    }
    call
}

/// The headers that the function sees: all but the platform's own key, and a prefix that only the platform sets.
/// HTTP/2 names the host outside of the headers; functions look for it there.
pub(crate) fn passed_headers(parts: &Parts, prefix: Option<String>, key_was_used: bool) -> Vec<(String, String)> {
    let headers = &parts.headers;
    let host = parts.uri.authority().filter(|_| !headers.contains_key(HOST));
    let host = host.map(|authority| (HOST.as_str().to_owned(), authority.as_str().to_owned()));
    let key = if key_was_used { key_of(headers) } else { None };
    let is_key = |name: &HeaderName, value: &HeaderValue| {
        key.is_some_and(|key| {
            (*name == AUTHORIZATION || name.as_str() == "x-api-key")
                && value.to_str().is_ok_and(|text| text.ends_with(key))
        })
    };
    let prefix = prefix.map(|prefix| (PREFIX.as_str().to_owned(), prefix));
    headers
        .iter()
        .filter(|(name, value)| **name != PREFIX && !is_key(name, value))
        .map(|(name, value)| (name.as_str().to_owned(), latin1(value.as_bytes())))
        .chain(host)
        .chain(prefix)
        .collect()
}

/// Header values are bytes; as text each byte becomes the character of the same number.
fn latin1(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => text.to_owned(),
        _ => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

fn reply(call: Call, id: &RequestId) -> Response {
    let body = match call.body {
        CallBody::Whole(bytes) => Body::from(bytes),
        stream @ CallBody::Stream(_) => Body::from_stream(stream.map_err(std::io::Error::other)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(call.head.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = response.headers_mut();
    headers.reserve(call.head.headers.len() + FACTS);
    reply_headers(&call.head.headers, headers);
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

/// The headers that a function may set of its reply.
pub(crate) fn reply_headers(set: &[(String, String)], headers: &mut HeaderMap) {
    for (name, value) in set {
        let name = HeaderName::try_from(name.as_str());
        let value = HeaderValue::from_bytes(&value.chars().map(to_byte).collect::<Vec<u8>>());
        if let (Ok(name), Ok(value)) = (name, value)
            && !OURS.contains(&name)
        {
            headers.append(name, value);
        }
    }
}

fn to_byte(character: char) -> u8 {
    u8::try_from(u32::from(character)).unwrap_or(b'?')
}

fn refuse(failure: &CallFailure, id: &RequestId) -> Response {
    let mut response = render(&failure.fault, id, failure.run);
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
    let millis = format!("{}.{:03}", duration_us / 1_000, duration_us % 1_000);
    let of = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("?"));
    headers.insert(DURATION, of(&millis));
    if let Some(run) = facts.run {
        let run = of(&run.to_string());
        headers.insert(CALL_ID, run.clone());
        headers.insert(RUN_ID, run);
    }
    if let Some(version) = facts.version {
        headers.insert(VERSION, HeaderValue::from(version));
    }
}
