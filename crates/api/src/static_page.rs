//! A document that is the same for every caller: made when the first one asks, once, plain and compressed.

use std::io::Write;
use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::state::ApiState;

/// A document. Cheap to clone.
#[derive(Clone)]
pub(crate) struct StaticPage {
    media_type: HeaderValue,
    forms: Arc<LazyLock<Forms, Box<dyn FnOnce() -> Forms + Send>>>,
}

struct Forms {
    etag: HeaderValue,
    plain: Bytes,
    gzip: Option<Bytes>,
}

// === impl Forms ===

impl Forms {
    fn new(text: String) -> Self {
        let etag = HeaderValue::try_from(format!("\"{}\"", &blake3::hash(text.as_bytes()).to_hex()[..16]));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let gzip = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
        Self {
            etag: etag.unwrap_or(HeaderValue::from_static("\"1\"")),
            // Without a compressed form everybody is sent the plain one.
            gzip: gzip.ok().map(Bytes::from),
            plain: text.into(),
        }
    }
}

// === impl StaticPage ===

impl StaticPage {
    /// A page whose text is made when somebody asks for it.
    pub(crate) fn new(media_type: &'static str, text: impl FnOnce() -> String + Send + 'static) -> Self {
        let make: Box<dyn FnOnce() -> Forms + Send> = Box::new(|| Forms::new(text()));
        Self { media_type: HeaderValue::from_static(media_type), forms: Arc::new(LazyLock::new(make)) }
    }

    pub(crate) fn answer(&self, asked: &HeaderMap) -> Response {
        let Forms { etag, plain, gzip } = &**self.forms;
        let is_known = asked.get_all(IF_NONE_MATCH).iter().any(|tags| {
            tags.to_str().is_ok_and(|tags| tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag))
        });
        let gzip = gzip.as_ref().filter(|_| takes_gzip(asked));
        let body = if is_known { Body::empty() } else { Body::from(gzip.unwrap_or(plain).clone()) };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(ETAG, etag.clone());
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(CONTENT_TYPE, self.media_type.clone());
        if gzip.is_some() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// Whether the caller takes gzip: named, or meant by `*`, and not with weight zero.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let values = asked.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut words = values.flat_map(|value| value.split(',')).map(|word| {
        let (coding, weight) = word.split_once(';').unwrap_or((word, "q=1"));
        let weight = weight.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).unwrap_or(0.0);
        (coding.trim().to_ascii_lowercase(), weight > 0.0)
    });
    let mut any = false;
    let named = words.find_map(|(coding, is_taken)| match coding.as_str() {
        "gzip" | "x-gzip" => Some(is_taken),
        "*" => {
            any = is_taken;
            None
        }
        _ => None,
    });
    named.unwrap_or(any)
}

/// A route that answers every caller with the same document.
pub(crate) fn page(media_type: &'static str, text: impl FnOnce() -> String + Send + 'static) -> MethodRouter<ApiState> {
    let page = StaticPage::new(media_type, text);
    get(move |headers: HeaderMap| {
        let answer = page.answer(&headers);
        async move { answer }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a value"))])
    }

    #[test]
    fn callers_get_what_they_take() {
        let takes = |value: &str| takes_gzip(&asked(ACCEPT_ENCODING, value));
        assert!(takes("gzip") && takes("br, GZIP;q=0.5") && takes("*"));
        assert!(!takes("br") && !takes("gzip;q=0") && !takes("*, gzip;q=0") && !takes_gzip(&HeaderMap::new()));
        let page = StaticPage::new("text/plain", || "a".repeat(10_000));
        let zipped = page.answer(&asked(ACCEPT_ENCODING, "gzip"));
        assert_eq!(zipped.headers()[CONTENT_ENCODING], "gzip");
        assert!(!page.answer(&HeaderMap::new()).headers().contains_key(CONTENT_ENCODING));
        let tag = zipped.headers()[ETAG].to_str().expect("text").to_owned();
        assert_eq!(page.answer(&asked(IF_NONE_MATCH, &tag)).status(), StatusCode::NOT_MODIFIED);
    }
}
