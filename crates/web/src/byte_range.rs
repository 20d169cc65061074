//! `Range` and `If-Range` of bodies that are bytes (RFC 9110, 14).

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// What a request asks of so many bytes.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// All of them. So it is for several ranges, and for what is no range: both may be answered whole.
    All,
    /// From the first up to, and without, the last.
    Part(usize, usize),
    /// None that exist.
    Nothing,
}

/// Answers with bytes, the part that is asked for, or 304 where the caller has them.
#[must_use]
pub fn bytes_or_part(asked: &HeaderMap, bytes: Bytes) -> Response {
    let etag = format!("\"{}\"", &blake3::hash(&bytes).to_hex()[..32]);
    let is_same = |name: HeaderName, any: bool| {
        let mut values = asked.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.any(|text| text.split(',').map(str::trim).any(|tag| tag == etag || any && tag == "*"))
    };
    let mut response = Response::new(Body::empty());
    let tag = HeaderValue::try_from(etag.as_str()).unwrap_or(HeaderValue::from_static("\"0\""));
    response.headers_mut().insert(ETAG, tag);
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if is_same(IF_NONE_MATCH, true) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let total = bytes.len();
    // A part of other bytes than the caller has the rest of would make a broken file.
    let holds = !asked.contains_key(IF_RANGE) || is_same(IF_RANGE, false);
    let range = asked.get(RANGE).filter(|_| holds).and_then(|value| value.to_str().ok());
    let span = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("bytes */0"));
    let (status, body) = match range.map_or(Wanted::All, |text| wanted(text, total)) {
        Wanted::All => (StatusCode::OK, bytes),
        Wanted::Part(from, to) => {
            headers.insert(CONTENT_RANGE, span(format!("bytes {from}-{}/{total}", to - 1)));
            (StatusCode::PARTIAL_CONTENT, bytes.slice(from..to))
        }
        Wanted::Nothing => {
            headers.insert(CONTENT_RANGE, span(format!("bytes */{total}")));
            (StatusCode::RANGE_NOT_SATISFIABLE, Bytes::new())
        }
    };
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    if status != StatusCode::RANGE_NOT_SATISFIABLE {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    }
    *response.status_mut() = status;
    *response.body_mut() = Body::from(body);
    response
}

fn wanted(range: &str, total: usize) -> Wanted {
    let Some((from, to)) = range.strip_prefix("bytes=").and_then(|text| text.trim().split_once('-')) else {
        return Wanted::All;
    };
    if !(from.bytes().chain(to.bytes()).all(|byte| byte.is_ascii_digit())) {
        return Wanted::All;
    }
    // Digits that are no number are more than any file has.
    let number = |text: &str| text.parse::<usize>().unwrap_or(usize::MAX);
    match (from, to) {
        ("", "") => Wanted::All,
        ("", last) => match number(last).min(total) {
            0 => Wanted::Nothing,
            last => Wanted::Part(total - last, total),
        },
        (from, _) if number(from) >= total => Wanted::Nothing,
        (from, "") => Wanted::Part(number(from), total),
        (from, to) if number(to) < number(from) => Wanted::All,
        (from, to) => Wanted::Part(number(from), number(to).saturating_add(1).min(total)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_written_in_rfc_9110() {
        for (range, expected) in [
            ("bytes=0-3", Wanted::Part(0, 4)),
            ("bytes=4-", Wanted::Part(4, 10)),
            ("bytes=-3", Wanted::Part(7, 10)),
            ("bytes=-30", Wanted::Part(0, 10)),
            ("bytes=8-99", Wanted::Part(8, 10)),
            ("bytes=9-9", Wanted::Part(9, 10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=99999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=3-1", Wanted::All),
            ("bytes=0-1,3-4", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=a-b", Wanted::All),
            ("lines=0-1", Wanted::All),
        ] {
            assert_eq!(wanted(range, 10), expected, "{range}");
        }
        assert_eq!(wanted("bytes=0-", 0), Wanted::Nothing);
    }

    #[test]
    fn a_part_is_of_the_bytes_that_the_caller_has() {
        let whole = bytes_or_part(&HeaderMap::new(), Bytes::from_static(b"0123456789"));
        assert_eq!(
            (whole.status(), &whole.headers()[ACCEPT_RANGES]),
            (StatusCode::OK, &HeaderValue::from_static("bytes"))
        );
        let tag = whole.headers()[ETAG].clone();
        let ask = |pairs: &[(HeaderName, &HeaderValue)]| {
            let asked = pairs.iter().map(|(name, value)| (name.clone(), (*value).clone())).collect();
            bytes_or_part(&asked, Bytes::from_static(b"0123456789"))
        };
        let (range, other) = (HeaderValue::from_static("bytes=2-4"), HeaderValue::from_static("\"other\""));
        let part = ask(&[(RANGE, &range), (IF_RANGE, &tag)]);
        assert_eq!(
            (part.status(), &part.headers()[CONTENT_RANGE]),
            (StatusCode::PARTIAL_CONTENT, &HeaderValue::from_static("bytes 2-4/10"))
        );
        assert_eq!(ask(&[(RANGE, &range), (IF_RANGE, &other)]).status(), StatusCode::OK);
        assert_eq!(ask(&[(IF_NONE_MATCH, &tag)]).status(), StatusCode::NOT_MODIFIED);
        let far = ask(&[(RANGE, &HeaderValue::from_static("bytes=10-"))]);
        assert_eq!(
            (far.status(), &far.headers()[CONTENT_RANGE]),
            (StatusCode::RANGE_NOT_SATISFIABLE, &HeaderValue::from_static("bytes */10"))
        );
    }
}
