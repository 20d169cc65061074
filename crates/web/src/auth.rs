//! Who sends a request: `Authorization: Bearer KEY` or `X-API-Key: KEY`.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use faas_engine::{Caller, Engine, Keys};
use faas_types::{Code, Fault, Scope};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::Failure;

/// The caller of a route, as [`RouteTable`](crate::RouteTable) let it through.
#[derive(Clone, Debug)]
pub struct Authorized(pub Arc<Caller>);

// === impl Authorized ===

impl<S: Sync> FromRequestParts<S> for Authorized {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or_else(|| Failure(Fault::internal("a route without access control asked for its caller")))
    }
}

/// The key that a request carries. Of two, one may be meant for the function: the one that looks like ours is ours.
#[must_use]
pub fn key_of(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text(AUTHORIZATION.as_str()).and_then(|text| {
        let (scheme, key) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    match (bearer, text("x-api-key").map(str::trim)) {
        (Some(bearer), Some(key)) if !bearer.starts_with(Keys::PREFIX) => Some(key),
        (Some(key), _) | (None, Some(key)) => Some(key),
        (None, None) => None,
    }
}

/// The caller, if the request's key holds the scope.
///
/// # Errors
/// `FN_010` without a valid key, `FN_009` when the key lacks the scope.
pub fn authenticate(engine: &Engine, headers: &HeaderMap, wanted: Scope) -> Result<Arc<Caller>, Fault> {
    may(identify(engine, headers)?, wanted)
}

/// The caller that a key belongs to, if it holds the scope.
///
/// # Errors
/// As for [`authenticate`].
pub fn authenticate_key(engine: &Engine, key: &str, wanted: Scope) -> Result<Arc<Caller>, Fault> {
    may(engine.keys().authenticate(key)?, wanted)
}

fn may(caller: Arc<Caller>, wanted: Scope) -> Result<Arc<Caller>, Fault> {
    if caller.may(wanted) {
        return Ok(caller);
    }
    let held: Vec<&str> = caller.scopes.iter().map(|scope| scope.as_str()).collect();
    Err(Fault::new(Code::PermissionDenied, format!("the key lacks the scope {wanted}; it holds {}", held.join(", ")))
        .with_hint("make a key with that scope: faas keys create NAME --scope SCOPE"))
}

/// The caller, whatever its key may do.
///
/// # Errors
/// `FN_010` without a valid key.
pub(crate) fn identify(engine: &Engine, headers: &HeaderMap) -> Result<Arc<Caller>, Fault> {
    let Some(key) = key_of(headers) else {
        return Err(Fault::new(Code::Unauthenticated, "this needs a key").with_hint(
            "run `faas login`, or send `Authorization: Bearer KEY`; the first start wrote an admin key to admin.key in the \
             data directory",
        ));
    };
    engine.keys().authenticate(key)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_key_for_the_function_does_not_hide_ours() {
        let key = |bearer: Option<&'static str>, api_key: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            bearer.map(|text| headers.insert(AUTHORIZATION, HeaderValue::from_static(text)));
            api_key.map(|text| headers.insert("x-api-key", HeaderValue::from_static(text)));
            key_of(&headers).map(str::to_owned)
        };
        assert_eq!(key(None, None), None);
        assert_eq!(key(Some("bearer  faas_a"), None).as_deref(), Some("faas_a"));
        assert_eq!(key(Some("Basic eDp5"), Some("faas_b")).as_deref(), Some("faas_b"));
        assert_eq!(key(Some("Bearer eyJ"), Some("faas_b")).as_deref(), Some("faas_b"));
        assert_eq!(key(Some("Bearer faas_a"), Some("theirs")).as_deref(), Some("faas_a"));
    }
}
