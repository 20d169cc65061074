//! Names one request, in its answer, in problems and in logs.

use faas_types::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::atomic::{AtomicU64, Ordering};

/// The header that carries it, both ways.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// A caller's own id where it is short and plain, otherwise `req_` and 26 characters. It knows which server it was made at, for the
/// links in that server's problems.
#[derive(Clone, Debug)]
pub struct RequestId {
    value: HeaderValue,
    server: ServerUrl,
}

/// Where clients reach a server, without a slash at the end. Every request carries it, so it is a pointer to a text that stays
/// for the life of the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerUrl(&'static str);

static NEXT: AtomicU64 = AtomicU64::new(0);

// === impl ServerUrl ===

impl ServerUrl {
    /// The URL of a server that starts. Its text is never freed: a process starts few.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self(Box::leak(url.trim_end_matches('/').into()))
    }
}

impl std::fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

// === impl RequestId ===

impl RequestId {
    /// The header that carries it, both ways.
    pub const HEADER: HeaderName = HEADER;

    /// The id of a request with these headers, which arrived at `now`.
    #[must_use]
    pub fn of(headers: &HeaderMap, now: Timestamp) -> Self {
        match headers.get(HEADER) {
            Some(given) if is_plain(given.as_bytes()) => Self::from(given.clone()),
            _ => Self::fresh(now),
        }
    }

    /// The same id at this server.
    #[must_use]
    pub fn at(mut self, server: ServerUrl) -> Self {
        self.server = server;
        self
    }

    /// Where clients reach the server that the request came to.
    #[must_use]
    pub fn server(&self) -> ServerUrl {
        self.server
    }

    /// Unique within this process: the time and a counter.
    fn fresh(now: Timestamp) -> Self {
        let count = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut text = *b"req_00000000000000000000000000";
        let (time, number) = text[4..].split_at_mut(12);
        put_hex(time, now.as_millis());
        put_hex(number, count);
        Self::from(HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("req_0")))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.value.to_str().unwrap_or("req_0")
    }

    /// The id as a header's value.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        self.value.clone()
    }
}

impl From<HeaderValue> for RequestId {
    fn from(value: HeaderValue) -> Self {
        Self { value, server: ServerUrl::default() }
    }
}

/// Writes the lowest digits of a number: each request has two.
fn put_hex(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 0xf) as usize];
        number >>= 4;
    }
}

fn is_plain(text: &[u8]) -> bool {
    (1..=64).contains(&text.len()) && text.iter().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_hold_time_and_count_in_hex() {
        let [id, next] = [0, 1].map(|_| RequestId::fresh(Timestamp::from_millis(0x0198_89ab_cdef)));
        let (prefix, count) = id.as_str().split_at(16);
        assert_eq!((prefix, count.len()), ("req_019889abcdef", 14));
        let [count, after] = [count, &next.as_str()[16..]].map(|text| u64::from_str_radix(text, 16).expect("hex"));
        assert!(after > count, "{id:?} {next:?}");
    }
}
