//! Who sends a request: `Authorization: Bearer KEY` or `X-API-Key: KEY`.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use axum::extract::FromRequestParts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use faas_engine::{Caller, Engine, Keys};
use faas_types::{Fault, Reason, Scope};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use memchr::memmem;

use crate::HandlerError;

/// Shorter than every key, and longer than a word that begins like one.
const KEY_LEN_MIN: usize = 40;

/// How often `%XX` is undone in search of a key: proxies and frameworks do it once each.
const DECODED_MAX: usize = 3;

/// Looks for the beginning of a key.
static KEY_BEGINS: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(Keys::PREFIX));

/// The caller of a route, as [`RouteTable`](crate::RouteTable) let it through.
#[derive(Clone, Debug)]
pub struct Authorized(pub Arc<Caller>);

// === impl Authorized ===

impl<S: Sync> FromRequestParts<S> for Authorized {
    type Rejection = HandlerError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, HandlerError> {
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or_else(|| HandlerError(Fault::internal("a route without access control asked for its caller")))
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

/// Whether a header's value is a key of the platform, or was meant to be one: revoked, of another server, mistyped. No
/// function sees it, whichever header it came in.
#[must_use]
pub fn carries_key(value: &HeaderValue) -> bool {
    let text = value.as_bytes().trim_ascii_start();
    if holds_key(text) {
        return true;
    }
    let is_key = |word: &[u8]| word.trim_ascii_start().starts_with(Keys::PREFIX.as_bytes());
    let Some(space) = text.iter().position(|byte| *byte == b' ') else { return is_key(text) };
    let (scheme, rest) = text.split_at(space);
    is_key(text) || is_key(rest) || scheme.eq_ignore_ascii_case(b"basic") && has_key(rest.trim_ascii())
}

/// Whether a whole key stands anywhere in a value: between quotes, in a list, in a cookie, and written with `%` where who
/// reads the value undoes that.
pub(crate) fn holds_key(text: &[u8]) -> bool {
    if has_whole_key(text) {
        return true;
    }
    let mut text = Cow::Borrowed(text);
    for _ in 0..DECODED_MAX {
        match unescaped(&text) {
            Some(plain) if has_whole_key(&plain) => return true,
            Some(plain) => text = Cow::Owned(plain),
            None => return false,
        }
    }
    false
}

/// A text with its `%XX` undone, if it has any.
fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let first = memchr::memchr(b'%', text)?;
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut plain, mut at, mut is_changed) = (text[..first].to_vec(), first, false);
    while let Some(&byte) = text.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push(high << 4 | low);
                (at, is_changed) = (at + 3, true);
            }
            _ => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    is_changed.then_some(plain)
}

fn has_whole_key(text: &[u8]) -> bool {
    let is_of_keys = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let mut begins = KEY_BEGINS.find_iter(text);
    begins.any(|at| text[at..].iter().take_while(is_of_keys).count() >= KEY_LEN_MIN)
}

/// Whether Basic credentials have a key as user or password, as pushes of git do.
fn has_key(credentials: &[u8]) -> bool {
    let Ok(pair) = STANDARD.decode(credentials) else { return false };
    pair.splitn(2, |byte| *byte == b':').any(|part| part.starts_with(Keys::PREFIX.as_bytes()))
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
    Err(Fault::new(Reason::ScopeMissing, format!("the key lacks the scope {wanted}; it holds {}", held.join(", ")))
        .with_command_hint(format!(
            "use a key with that scope; one with the scope project:admin makes it: faas keys create NAME --scope {wanted}"
        )))
}

/// The caller, whatever its key may do.
///
/// # Errors
/// `FN_010` without a valid key.
pub(crate) fn identify(engine: &Engine, headers: &HeaderMap) -> Result<Arc<Caller>, Fault> {
    let Some(key) = key_of(headers) else {
        return Err(Fault::new(Reason::KeyMissing, "this needs a key").with_command_hint(
            "run `faas login`, or send `Authorization: Bearer KEY`; the first start wrote an admin key to admin.key in the \
             data directory",
        ));
    };
    engine.keys().authenticate(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_however_it_is_written() {
        let key = format!("{}{}", Keys::PREFIX, "aB3-_".repeat(10));
        let escaped = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let once = escaped(&key);
        for text in
            [key.clone(), key.replacen('_', "%5F", 1), key.replacen('a', "%61", 1), once.clone(), escaped(&once)]
        {
            assert!(holds_key(format!("/fn/x?k={text}&b=100%").as_bytes()), "{text}");
        }
        for text in ["/fn/x", "/fn/x?a=%", "/fn/x?a=%6", "/fn/x?a=faas%5Fshort", "/fn/%zz%20"] {
            assert!(!holds_key(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_looks_like_a_key_is_one() {
        let carries = |text: &str| carries_key(&HeaderValue::from_str(text).expect("a value"));
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for ours in ["faas_revoked", "Bearer faas_x", "bearer  faas_x", "ApiKey faas_x", "x, faas_x"] {
            assert!(carries(ours), "{ours}");
        }
        assert!(carries(&basic("git:faas_x")) && carries(&basic("faas_x:")));
        for theirs in ["Bearer eyJ", "", "a faas", "Basic %%%", "my_faas_key"] {
            assert!(!carries(theirs), "{theirs}");
        }
        assert!(!carries(&basic("user:password")));
    }

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
