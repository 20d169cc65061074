//! What a function is called with: the request's line, headers and body.

use faas_engine::{CallRequest, HttpRequest, Route};
use faas_web::{RequestOrigin, carries_key};
use http::HeaderName;
use http::header::HOST;
use http::request::Parts;

use crate::target::CallTarget;

const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Headers that a function gets besides the caller's.
const ADDED: usize = 6;

/// Where a call goes, and the request that the function gets.
pub(crate) fn call_of<B>(
    target: CallTarget,
    head: &Parts,
    origin: Option<&RequestOrigin>,
    body: B,
) -> (Route, CallRequest<B>) {
    let request = HttpRequest {
        method: head.method.as_str().to_owned(),
        path: target.path,
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: passed_headers(head, origin, target.prefix),
    };
    (target.route, CallRequest::http(target.trigger, request, body))
}

/// The headers that the function sees: all but the platform's keys, and those that say on whose behalf the call comes. HTTP/2
/// sends the host outside of the headers; functions expect it there.
pub(crate) fn passed_headers(
    parts: &Parts,
    origin: Option<&RequestOrigin>,
    prefix: Option<String>,
) -> Vec<(String, String)> {
    let headers = &parts.headers;
    let host = parts.uri.authority().filter(|_| !headers.contains_key(HOST));
    let host = host.map(|authority| (HOST.as_str().to_owned(), authority.as_str().to_owned()));
    let prefix = prefix.map(|prefix| (PREFIX.as_str().to_owned(), prefix));
    let origin = origin.map(RequestOrigin::fields);
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
