//! A request on its way to a function.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use http::request::Parts;

use crate::edge::RequestOrigin;

/// A request on its way to a function. Travels in a box: each `async fn` that it passes would keep it twice in its future, and a
/// connection copies the future of each of its requests.
#[derive(Debug)]
pub struct Inbound {
    /// Request line, header fields and extensions.
    pub head: Parts,
    /// The body, until it is taken.
    pub body: Body,
    /// On whose behalf it comes.
    pub origin: Option<Arc<RequestOrigin>>,
}

// === impl Inbound ===

impl Inbound {
    /// The request as routers take it.
    #[must_use]
    pub fn into_request(mut self) -> Request {
        if let Some(origin) = self.origin.take() {
            self.head.extensions.insert(origin);
        }
        Request::from_parts(self.head, self.body)
    }
}

impl From<Request> for Inbound {
    fn from(request: Request) -> Self {
        let (mut head, body) = request.into_parts();
        let origin = head.extensions.remove();
        Self { head, body, origin }
    }
}
