//! Decides by the path which door a request goes through.

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use faas_gateway::{ASYNC_PREFIX, Gateway, HOOKS_PREFIX, PREFIX};
use http::Request;
use http::uri::{PathAndQuery, Uri};
use hyper::body::Incoming;
use tower::ServiceExt;

use crate::unread::Unread;

/// Both planes behind one port. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Doors {
    pub(crate) gateway: Gateway,
    pub(crate) api: Router,
}

// === impl Doors ===

impl Doors {
    /// Answers one request. Function URLs take the short way past the control plane's router.
    pub(crate) async fn answer(self, request: Request<Incoming>) -> Response {
        let (request, unread) = Unread::lend(request);
        unread.settle(self.through(request).await).await
    }

    async fn through(self, mut request: Request<Body>) -> Response {
        let path = request.uri().path();
        if path.starts_with(PREFIX) || path.starts_with(ASYNC_PREFIX) {
            return self.gateway.answer(request).await;
        }
        if path.starts_with(HOOKS_PREFIX) {
            return self.gateway.deliver(request).await;
        }
        if has_short_form(path) {
            *request.uri_mut() = below_api(request.uri());
        }
        match self.api.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// The routes of functions and topics and the one for events also answer without `/api/v1`.
fn has_short_form(path: &str) -> bool {
    let is_below = |start| path.strip_prefix(start).is_some_and(|rest: &str| rest.is_empty() || rest.starts_with('/'));
    path == "/events" || is_below("/functions") || is_below("/topics")
}

fn below_api(uri: &Uri) -> Uri {
    let mut parts = uri.clone().into_parts();
    let path = parts.path_and_query.as_ref().map_or("/", PathAndQuery::as_str);
    parts.path_and_query = format!("/api/v1{path}").parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_answer_with_and_without_the_prefix() {
        let uri: Uri = "/functions/hello/logs?limit=3".parse().expect("valid");
        assert!(has_short_form(uri.path()) && has_short_form("/events"));
        assert!(has_short_form("/topics/orders") && !has_short_form("/topicsx"));
        assert!(!has_short_form("/functionsx") && !has_short_form("/events/x"));
        assert_eq!(below_api(&uri).to_string(), "/api/v1/functions/hello/logs?limit=3");
    }
}
