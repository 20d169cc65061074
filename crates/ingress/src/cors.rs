//! Calls from pages of other origins (CORS). Browsers ask first, without credentials, whether they may call; that is answered here,
//! since a private function would refuse it.

use axum::body::Body;
use axum::response::Response;
use faas_types::CorsSettings;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

/// Headers that scripts of a page may read besides those that browsers always show them.
const EXPOSED: &str =
    "x-run-id, x-request-id, x-function-version, x-error-source, retry-after, location, server-timing";

/// The answer to a browser that asks whether a page may call a function; nothing for other requests.
pub(crate) fn preflight(settings: &CorsSettings, head: &Parts) -> Option<Response> {
    let method = head.headers.get(ACCESS_CONTROL_REQUEST_METHOD).filter(|_| head.method == Method::OPTIONS)?;
    let origin = head.headers.get(ORIGIN)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.append(
        VARY,
        HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    );
    // The missing headers refuse a page that may not call.
    if !allow_origin(settings, origin, headers) {
        return Some(response);
    }
    if method.to_str().is_ok_and(|method| settings.allows_method(method)) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    }
    if let Some(allowed) = allowed_headers(settings, head) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(settings.max_age.get().as_secs()));
    Some(response)
}

/// Lets the page at `origin` read a response, in place of what the function set.
pub(crate) fn allow_page(settings: &CorsSettings, origin: &HeaderValue, headers: &mut HeaderMap) {
    headers.remove(ACCESS_CONTROL_ALLOW_ORIGIN);
    headers.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if !allow_origin(settings, origin, headers) {
        return;
    }
    if !settings.expose_headers.is_empty() {
        let exposed = format!("{EXPOSED}, {}", settings.expose_headers.join(", "));
        // Names of headers are visible ASCII.
        let exposed = HeaderValue::try_from(exposed).unwrap_or(HeaderValue::from_static(EXPOSED));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    } else if !headers.contains_key(ACCESS_CONTROL_EXPOSE_HEADERS) {
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
}

fn allow_origin(settings: &CorsSettings, origin: &HeaderValue, headers: &mut HeaderMap) -> bool {
    let allowed = origin.to_str().ok().and_then(|origin| settings.allowed(origin));
    let Some(allowed) = allowed.and_then(|allowed| HeaderValue::from_str(allowed).ok()) else { return false };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    if settings.credentials {
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    true
}

/// Those of the headers that the browser asks for which the page may send.
fn allowed_headers(settings: &CorsSettings, head: &Parts) -> Option<HeaderValue> {
    let asked = head.headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS);
    let names = asked.iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    let names = names.map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty());
    let allowed: Vec<String> = names.filter(|name| settings.allows_header(name)).collect();
    if allowed.is_empty() { None } else { HeaderValue::from_str(&allowed.join(", ")).ok() }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn settings(credentials: bool) -> CorsSettings {
        let origins = vec!["https://a.example".parse().expect("an origin")];
        let headers = vec!["authorization".to_owned()];
        let (methods, expose_headers) = (Vec::new(), vec!["x-total".to_owned(), "etag".to_owned()]);
        CorsSettings { origins, methods, headers, expose_headers, credentials, max_age: CorsSettings::MAX_AGE }
    }

    fn asked(origin: &str, method: Option<&str>) -> Parts {
        let mut request = Request::options("/fn/x").header(ORIGIN, origin);
        if let Some(method) = method {
            request = request.header(ACCESS_CONTROL_REQUEST_METHOD, method);
        }
        let request = request.header(ACCESS_CONTROL_REQUEST_HEADERS, "Authorization, x-other");
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn a_browser_learns_what_a_page_may() {
        let response = preflight(&settings(true), &asked("https://a.example", Some("PUT"))).expect("a preflight");
        let said = |name: http::HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(said(ACCESS_CONTROL_ALLOW_ORIGIN), Some("https://a.example"));
        assert_eq!(said(ACCESS_CONTROL_ALLOW_METHODS), Some("PUT"));
        assert_eq!(said(ACCESS_CONTROL_ALLOW_HEADERS), Some("authorization"));
        assert_eq!(said(ACCESS_CONTROL_ALLOW_CREDENTIALS), Some("true"));
        assert_eq!(said(ACCESS_CONTROL_MAX_AGE), Some("600"));
        assert!(preflight(&settings(true), &asked("https://a.example", None)).is_none(), "OPTIONS for the function");
    }

    #[test]
    fn scripts_may_read_what_the_manifest_names() {
        let exposed = |settings: &CorsSettings, own: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            own.map(|own| headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(own)));
            allow_page(settings, &HeaderValue::from_static("https://a.example"), &mut headers);
            headers[ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap_or_default().to_owned()
        };
        let named = settings(false);
        assert!(exposed(&named, None).ends_with("server-timing, x-total, etag"), "{}", exposed(&named, None));
        assert_eq!(exposed(&named, Some("x-own")), exposed(&named, None), "the manifest decides");
        let silent = CorsSettings { expose_headers: Vec::new(), ..named };
        assert_eq!((exposed(&silent, None), exposed(&silent, Some("x-own"))), (EXPOSED.to_owned(), "x-own".to_owned()));
    }

    #[test]
    fn other_pages_are_told_nothing() {
        let response = preflight(&settings(true), &asked("https://b.example", Some("PUT"))).expect("a preflight");
        assert!(!response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
        let mut headers = HeaderMap::new();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        allow_page(&settings(false), &HeaderValue::from_static("https://b.example"), &mut headers);
        assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), "the manifest decides, not the function");
        assert_eq!(headers[VARY], "Origin");
    }
}
