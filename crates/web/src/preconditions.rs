//! Which state of a resource a request is meant for: `ETag`, `If-Match` and `If-None-Match`.

use axum::extract::{FromRequestParts, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use faas_types::{Fault, Reason};
use http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Serialize;

use crate::problem::HandlerError;

/// The state of a resource: another one after each change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateTag(u64);

/// A body with the state that it shows. Its `ETag` has two parts: writes compare the state, reads what they would get.
#[derive(Clone, Debug)]
pub struct Tagged<T>(pub StateTag, pub T);

/// What a write demands of the resource's present state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Precondition {
    is_match: Option<Wanted>,
    is_absent: bool,
}

/// The states that `If-Match` names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Existing,
    OneOf(Vec<u64>),
}

// === impl StateTag ===

impl StateTag {
    /// The state at a revision of its record.
    #[must_use]
    pub fn at(revision: u64) -> Self {
        Self(revision)
    }

    /// The state that a value is.
    #[must_use]
    pub fn of(value: &impl Serialize) -> Self {
        let bytes = serde_json::to_vec(value).unwrap_or_default();
        Self(short_hash(&bytes))
    }
}

fn short_hash(bytes: &[u8]) -> u64 {
    let hash = blake3::hash(bytes);
    hash.as_bytes().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

// === impl Tagged ===

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let Self(StateTag(state), value) = self;
        let Ok(body) = serde_json::to_vec(&value) else {
            return HandlerError(Fault::internal("an answer does not encode")).into_response();
        };
        let tag = format!("\"{state:x}-{:08x}\"", short_hash(&body) >> 32);
        let mut response = ([(CONTENT_TYPE, "application/json")], body).into_response();
        if let Ok(tag) = HeaderValue::try_from(tag) {
            response.headers_mut().insert(ETAG, tag);
        }
        response
    }
}

// === impl Precondition ===

impl Precondition {
    /// Whether the request demands anything.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.is_match.is_some() || self.is_absent
    }

    /// Refuses a write to a resource in another state; `None` for one that does not exist.
    ///
    /// # Errors
    /// `FN_031`.
    pub fn check(&self, state: Option<StateTag>) -> Result<(), Fault> {
        let holds = match (&self.is_match, state) {
            (None, _) | (Some(Wanted::Existing), Some(_)) => true,
            (Some(Wanted::OneOf(states)), Some(StateTag(state))) => states.contains(&state),
            (Some(_), None) => false,
        };
        let message = match (holds, self.is_absent && state.is_some()) {
            (true, false) => return Ok(()),
            (true, true) => "it exists, and `If-None-Match: *` asks that it does not",
            (false, _) if state.is_none() => "it does not exist, and `If-Match` asks for one that does",
            (false, _) => "it was changed since `If-Match` was read",
        };
        Err(Fault::new(Reason::PreconditionFailed, message))
    }
}

impl<S: Sync> FromRequestParts<S> for Precondition {
    type Rejection = HandlerError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, HandlerError> {
        let is_match = match tags(&parts.headers, &IF_MATCH)? {
            None => None,
            Some(tags) if tags == ["*"] => Some(Wanted::Existing),
            Some(tags) => Some(Wanted::OneOf(tags.into_iter().filter_map(state_of).collect())),
        };
        let is_absent = match tags(&parts.headers, &IF_NONE_MATCH)? {
            None => false,
            Some(tags) if tags == ["*"] => true,
            Some(_) => {
                let message = "the header `if-none-match` of a write is `*`: it demands that there is nothing yet";
                return Err(HandlerError(Fault::new(Reason::InvalidHeader, message)));
            }
        };
        Ok(Self { is_match, is_absent })
    }
}

/// The tags of a header, which may stand there several times.
fn tags<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<Vec<&'h str>>, Fault> {
    let mut tags = Vec::new();
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| unreadable(name))?;
        // Our tags hold no comma, and others match nothing.
        for tag in text.split(',').map(str::trim) {
            if tag != "*" && !(tag.len() >= 2 && tag.trim_start_matches("W/").starts_with('"') && tag.ends_with('"')) {
                return Err(unreadable(name));
            }
            tags.push(tag);
        }
    }
    Ok(Some(tags).filter(|tags| !tags.is_empty()))
}

fn unreadable(name: &HeaderName) -> Fault {
    Fault::new(Reason::InvalidHeader, format!("the header `{name}` cannot be used: it is `*`, or ETags as they came"))
        .with_hint("send the `ETag` with its quotes, such as \"2a-5f0c6a1e\"")
}

/// The state that a tag of ours names. A weak one names none: it says no more than that two bodies mean the same.
fn state_of(tag: &str) -> Option<u64> {
    let (state, _) = tag.strip_prefix('"')?.strip_suffix('"')?.split_once('-')?;
    u64::from_str_radix(state, 16).ok()
}

/// Answers 304 to who has what a read would give.
pub(crate) async fn not_modified(request: Request, next: Next) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) || !request.headers().contains_key(IF_NONE_MATCH) {
        return next.run(request).await;
    }
    let known = request.headers().clone();
    let response = next.run(request).await;
    let Some(tag) = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()) else { return response };
    let is_known = |known: &&str| *known == "*" || known.trim_start_matches("W/") == tag;
    match tags(&known, &IF_NONE_MATCH) {
        Err(fault) => HandlerError(fault).into_response(),
        Ok(tags) if response.status() == StatusCode::OK && tags.iter().flatten().any(is_known) => {
            let mut short = StatusCode::NOT_MODIFIED.into_response();
            *short.headers_mut() = response.headers().clone();
            short.headers_mut().remove(CONTENT_TYPE);
            short
        }
        Ok(_) => response,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    async fn read(headers: &[(HeaderName, &str)]) -> Result<Precondition, Reason> {
        let mut request = Request::new(Body::empty());
        for (name, value) in headers {
            request.headers_mut().append(name, value.parse().expect("a value"));
        }
        let (mut parts, _) = request.into_parts();
        Precondition::from_request_parts(&mut parts, &()).await.map_err(|error| error.0.reason)
    }

    #[tokio::test]
    async fn a_write_holds_for_the_states_it_names() {
        let tag = |state: u64, value: &str| {
            let response = Tagged(StateTag::at(state), value.to_owned()).into_response();
            response.headers()[ETAG].to_str().expect("text").to_owned()
        };
        let (here, there) = (Some(StateTag::at(0x2a)), Some(StateTag::at(0x2b)));
        let several = format!("\"x\", {}", tag(0x2a, "a"));
        for given in [tag(0x2a, "a"), tag(0x2a, "b"), several] {
            let wanted = read(&[(IF_MATCH, &given)]).await.expect("read");
            assert!(wanted.is_given() && wanted.check(here).is_ok(), "{given}");
            for other in [there, None] {
                assert!(wanted.check(other).is_err_and(|fault| fault.reason == Reason::PreconditionFailed), "{given}");
            }
        }
        let weak = read(&[(IF_MATCH, &format!("W/{}", tag(0x2a, "a")))]).await.expect("read");
        assert!(weak.check(here).is_err(), "a weak tag is no proof");
        let any = read(&[(IF_MATCH, "*")]).await.expect("read");
        assert!(any.check(here).is_ok() && any.check(None).is_err());
        let fresh = read(&[(IF_NONE_MATCH, "*")]).await.expect("read");
        assert!(fresh.check(None).is_ok() && fresh.check(here).is_err());
        assert_eq!(read(&[]).await, Ok(Precondition::default()));
        for (name, value) in [(IF_MATCH, "2a-1"), (IF_MATCH, "\""), (IF_NONE_MATCH, "\"2a-1\"")] {
            assert_eq!(read(&[(name, value)]).await, Err(Reason::InvalidHeader), "{value}");
        }
    }
}
