//! Decides by the path which door a request goes through.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use faas_cli::{CallSeen, Lobby};
use faas_gateway::{ASYNC_PREFIX, Gateway, HOOKS_PREFIX, PREFIX};
use faas_ports::{Clock, SystemClock};
use faas_types::Fault;
use faas_web::{Edge, Peer, RequestId, render};
use http::header::CONNECTION;
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, Request, Version};
use hyper::body::Incoming;
use tower::ServiceExt;

use crate::unread::Unread;

/// Both planes behind one port. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Doors {
    pub(crate) gateway: Gateway,
    pub(crate) api: Router,
    /// What every request passes first.
    pub(crate) edge: Edge,
    /// Where calls of a private server wait and are told of.
    pub(crate) lobby: Option<Arc<Lobby>>,
}

// === impl Doors ===

impl Doors {
    /// Answers one request. Function URLs take the short way past the control plane's router.
    pub(crate) async fn answer(self, request: Request<Incoming>, peer: &Peer) -> Response {
        let (request, unread) = Unread::lend(request);
        let (mut head, body) = request.into_parts();
        if let Err(fault) = self.edge.admit(&mut head, peer) {
            return refuse(&fault, &head);
        }
        let request = Request::from_parts(head, body);
        let lobby = self.lobby.clone().filter(|_| is_call(request.uri().path()));
        let response = match lobby {
            Some(lobby) => self.attended(&lobby, request).await,
            None => self.through(request).await,
        };
        unread.settle(response).await
    }

    /// A call of somebody who edits the function: it waits for the code that has been saved, and is told of.
    async fn attended(self, lobby: &Lobby, request: Request<Body>) -> Response {
        let (method, path) = (request.method().to_string(), request.uri().to_string());
        lobby.pass().await;
        let began = Instant::now();
        let response = self.through(request).await;
        let said = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        lobby.tell(CallSeen {
            method,
            path,
            status: response.status().as_u16(),
            took: began.elapsed(),
            run: said("x-run-id"),
            is_cold: said("x-cold-start").map(|word| word == "true"),
            version: said("x-function-version"),
        });
        response
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

/// The last answer on a connection: where one request could be read in two ways, so can what follows it.
fn refuse(fault: &Fault, head: &Parts) -> Response {
    let id = RequestId::of(&head.headers, SystemClock.now());
    let mut response = render(fault, &id, None);
    if head.version <= Version::HTTP_11 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Whether a request wants a function to run.
fn is_call(path: &str) -> bool {
    [PREFIX, ASYNC_PREFIX, HOOKS_PREFIX].iter().any(|prefix| path.starts_with(prefix)) || path.ends_with("/invoke")
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
