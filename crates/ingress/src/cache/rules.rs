//! Which requests and responses may be cached: RFC 9111 for a shared cache, and stricter where callers could be mixed up.

use std::time::{Duration, SystemTime};

use faas_types::{AuthMode, CacheSettings, CacheShare, RequestField};
use faas_web::{ERROR_SOURCE, IDEMPOTENCY_KEY, carries_key};
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, COOKIE, ETAG, EXPIRES, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED, RANGE, SET_COOKIE, TRANSFER_ENCODING, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, response};
use http_cache_semantics::{CacheOptions, CachePolicy};

/// Headers of a response that belong to one run.
const OF_ONE_RUN: [&str; 6] =
    ["x-run-id", "x-call-id", "x-duration-ms", "x-cold-start", "x-request-id", "server-timing"];

/// Why a request bypasses the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BypassReason {
    /// Its method may change something.
    Method,
    /// It asks for a range, carries an idempotency key or a body, or forbids storing.
    Request,
}

/// A request as the rules see it.
pub(super) struct CacheRequest {
    /// Its head, without the platform's own key.
    pub(super) head: Parts,
    /// Whether its answer may be meant for one caller.
    pub(super) is_personal: bool,
}

/// A response that may be stored.
pub(super) struct Storable {
    pub(super) policy: CachePolicy,
    /// It says itself that anybody may have it.
    pub(super) is_open: bool,
    /// Its lifetime is the manifest's, of which callers are not told.
    pub(super) is_implied: bool,
}

/// Whether a request is looked up at all.
pub(super) fn admit(head: &Parts) -> Result<(), BypassReason> {
    if head.method != Method::GET && head.method != Method::HEAD {
        return Err(BypassReason::Method);
    }
    let forbids = directives(&head.headers).any(|directive| directive.eq_ignore_ascii_case("no-store"));
    // The key does not contain the body: an answer to one body would be given to every caller.
    let has_body = head.headers.contains_key(TRANSFER_ENCODING)
        || head.headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0");
    // Nor does it contain headers that an application may take for the real path or method.
    let redirects = head.headers.keys().any(|name| RequestField::redirects(name.as_str()));
    let is_special = has_body || head.headers.contains_key(RANGE) || head.headers.contains_key(IDEMPOTENCY_KEY);
    if forbids || is_special || redirects { Err(BypassReason::Request) } else { Ok(()) }
}

impl CacheRequest {
    /// Cookies and credentials may make an answer personal. So may the key of a private function, though the function
    /// never sees it, unless its manifest says that all holders may share.
    pub(super) fn new(head: &Parts, auth: AuthMode, settings: &CacheSettings) -> Self {
        let mut own = head.clone();
        own.headers = HeaderMap::with_capacity(head.headers.len());
        for (name, value) in head.headers.iter().filter(|(_, value)| !carries_key(value)) {
            own.headers.append(name, value.clone());
        }
        let is_private = auth == AuthMode::Private && settings.share == CacheShare::Declared;
        let is_personal = is_private || own.headers.contains_key(AUTHORIZATION) || own.headers.contains_key(COOKIE);
        Self { head: own, is_personal }
    }

    /// Whether and how a response may be stored.
    pub(super) fn storable(&self, answer: &response::Parts, settings: &CacheSettings) -> Option<Storable> {
        let headers = &answer.headers;
        let varies_by_anything = headers.get_all(VARY).iter().any(|value| value.as_bytes().contains(&b'*'));
        if headers.contains_key(ERROR_SOURCE) || headers.contains_key(SET_COOKIE) || varies_by_anything {
            return None;
        }
        let is_open = directives(headers).any(|directive| {
            directive.eq_ignore_ascii_case("public") || directive.to_ascii_lowercase().starts_with("s-maxage=")
        });
        if self.is_personal && !is_open {
            return None;
        }
        let is_implied = !headers.contains_key(CACHE_CONTROL) && !headers.contains_key(EXPIRES);
        let mut told = answer.clone();
        OF_ONE_RUN.into_iter().for_each(|name| {
            told.headers.remove(name);
        });
        if is_implied {
            let implied = format!("max-age={}", settings.ttl.get().as_secs());
            told.headers.insert(CACHE_CONTROL, HeaderValue::try_from(implied).ok()?);
        }
        let options = CacheOptions { cache_heuristic: 0.0, ..CacheOptions::default() };
        let now = SystemTime::now();
        let policy = CachePolicy::new_options(&self.head, &told, now, options);
        let keep = policy.is_storable() && policy.time_to_live(now) > Duration::ZERO;
        keep.then_some(Storable { policy, is_open, is_implied })
    }
}

/// Whether the caller has this response already.
pub(super) fn is_known(asked: &HeaderMap, answer: &HeaderMap) -> bool {
    let text = |headers: &HeaderMap, name| headers.get(name).and_then(|value| value.to_str().ok().map(str::to_owned));
    match (text(asked, IF_NONE_MATCH), text(answer, ETAG)) {
        (Some(wanted), Some(tag)) => {
            let plain = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
            wanted.trim() == "*" || wanted.split(',').any(|one| plain(one) == plain(&tag))
        }
        (Some(_), None) => false,
        (None, _) => text(asked, IF_MODIFIED_SINCE).is_some_and(|since| Some(since) == text(answer, LAST_MODIFIED)),
    }
}

fn directives(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use faas_types::{ByteSize, Span};
    use http::{Request, Response};

    use super::*;

    fn settings(share: CacheShare) -> CacheSettings {
        CacheSettings { ttl: Span::from_secs(60), entry_max: ByteSize::from_mib(1), share }
    }

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let request =
            headers.iter().fold(Request::get("/fn/x/a"), |request, (name, value)| request.header(*name, *value));
        request.body(()).expect("a request").into_parts().0
    }

    fn kept(auth: AuthMode, share: CacheShare, asked: &[(&str, &str)], answer: &[(&str, &str)]) -> bool {
        let settings = settings(share);
        let asked = CacheRequest::new(&parts(asked), auth, &settings);
        let answer = answer.iter().fold(Response::builder(), |answer, (name, value)| answer.header(*name, *value));
        asked.storable(&answer.body(()).expect("an answer").into_parts().0, &settings).is_some()
    }

    #[test]
    fn only_reading_requests_are_looked_up() {
        assert_eq!(admit(&parts(&[])), Ok(()));
        assert_eq!(admit(&parts(&[("range", "bytes=0-1")])), Err(BypassReason::Request));
        assert_eq!(admit(&parts(&[("content-length", "0")])), Ok(()));
        assert_eq!(admit(&parts(&[("content-length", "9")])), Err(BypassReason::Request));
        assert_eq!(admit(&parts(&[("transfer-encoding", "chunked")])), Err(BypassReason::Request));
        assert_eq!(admit(&parts(&[("cache-control", "max-age=0, no-store")])), Err(BypassReason::Request));
        assert_eq!(admit(&parts(&[("x-http-method-override", "DELETE")])), Err(BypassReason::Request));
        let post = Request::post("/").body(()).expect("a request").into_parts().0;
        assert_eq!(admit(&post), Err(BypassReason::Method));
    }

    #[test]
    fn answers_say_whether_they_are_kept() {
        let public = |answer: &[(&str, &str)]| kept(AuthMode::Public, CacheShare::Declared, &[], answer);
        assert!(public(&[]), "the manifest's own lifetime");
        assert!(public(&[("cache-control", "max-age=5")]));
        assert!(public(&[("cache-control", "max-age=5"), ("vary", "accept")]));
        for never in ["no-store", "private, max-age=5", "max-age=0", "s-maxage=0, max-age=9", "no-cache, max-age=0"] {
            assert!(!public(&[("cache-control", never)]), "{never}");
        }
        assert!(!public(&[("set-cookie", "a=b"), ("cache-control", "public, max-age=5")]));
        assert!(!public(&[("vary", "*"), ("cache-control", "max-age=5")]));
        assert!(!public(&[("x-error-source", "function"), ("cache-control", "max-age=5")]));
    }

    #[test]
    fn personal_answers_are_kept_only_when_they_say_so() {
        let open = [("cache-control", "public, max-age=5")];
        let shared = [("cache-control", "s-maxage=5")];
        let plain = [("cache-control", "max-age=5, must-revalidate")];
        for personal in [("cookie", "sid=1"), ("authorization", "Bearer eyJ")] {
            let asked = |answer: &[(&str, &str)]| kept(AuthMode::Public, CacheShare::Declared, &[personal], answer);
            assert!(asked(&open) && asked(&shared) && !asked(&plain) && !asked(&[]), "{personal:?}");
        }
        let key = [("authorization", "Bearer faas_k")];
        assert!(!kept(AuthMode::Private, CacheShare::Declared, &key, &plain));
        assert!(kept(AuthMode::Private, CacheShare::Declared, &key, &open));
        assert!(kept(AuthMode::Private, CacheShare::Project, &key, &plain));
        let both = [("authorization", "Bearer eyJ"), ("x-api-key", "faas_k")];
        assert!(!kept(AuthMode::Private, CacheShare::Project, &both, &plain), "the function's own credentials stay");
    }

    #[test]
    fn callers_tell_what_they_have() {
        let headers = |pairs: &[(&str, &str)]| parts(pairs).headers;
        let answer = headers(&[("etag", "W/\"a\"")]);
        assert!(is_known(&headers(&[("if-none-match", "\"b\", \"a\"")]), &answer));
        assert!(!is_known(&headers(&[("if-none-match", "\"b\"")]), &answer));
        assert!(!is_known(&headers(&[]), &answer));
    }
}
