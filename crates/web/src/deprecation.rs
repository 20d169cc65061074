//! Routes that go away: their answers and their document say when (RFC 9745, RFC 8594).

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::LINK;
use http::{HeaderMap, HeaderName, HeaderValue};
use utoipa::openapi::Deprecated;
use utoipa::openapi::path::Operation;

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// When a route was deprecated, when it ends, and what takes its place.
#[derive(Clone, Copy, Debug)]
pub struct Retirement {
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// The last day, as HTTP writes dates: `Wed, 01 Dec 2027 00:00:00 GMT`. Six months after [`Self::since`] at the earliest.
    pub until: &'static str,
    /// The path to use instead.
    pub successor: &'static str,
}

// === impl Retirement ===

impl Retirement {
    /// Says it in an answer.
    fn announce(self, headers: &mut HeaderMap) {
        let value = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("@0"));
        headers.insert(DEPRECATION, value(format!("@{}", self.since)));
        headers.insert(SUNSET, HeaderValue::from_static(self.until));
        headers.append(LINK, value(format!("<{}>; rel=\"successor-version\"", self.successor)));
    }

    /// Says it in the document.
    pub(crate) fn publish(self, operation: &mut Operation) {
        operation.deprecated = Some(Deprecated::True);
        let note = format!("Deprecated: use `{}`. Answers until {}.", self.successor, self.until);
        let text = operation.description.take().map_or_else(|| note.clone(), |text| format!("{text}\n\n{note}"));
        operation.description = Some(text);
    }
}

/// Marks every answer of a route.
pub(crate) async fn announce(State(retirement): State<Retirement>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    retirement.announce(response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_and_the_document_say_when_a_route_ends() {
        let retirement =
            Retirement { since: 1_796_083_200, until: "Wed, 01 Dec 2027 00:00:00 GMT", successor: "/api/v1/new" };
        let mut headers = HeaderMap::new();
        retirement.announce(&mut headers);
        assert_eq!(headers[DEPRECATION], "@1796083200");
        assert_eq!(headers[SUNSET], "Wed, 01 Dec 2027 00:00:00 GMT");
        assert_eq!(headers[LINK], "</api/v1/new>; rel=\"successor-version\"");
        let mut operation = Operation::new();
        retirement.publish(&mut operation);
        assert!(operation.description.is_some_and(|text| text.contains("use `/api/v1/new`")));
        assert!(matches!(operation.deprecated, Some(Deprecated::True)));
    }
}
