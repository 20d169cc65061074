//! What the requests of one connection share, and how each is answered.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use faas_ports::{Clock, SystemClock};
use faas_types::{Code, Executed, Fault};
use faas_web::{Edge, Inbound, Peer, RequestId, ServerUrl, render};
use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Version};

use crate::active_request::{ActiveRequest, GuardedBody};
use crate::drain_unread_body::UnreadBody;
use crate::response_body::{ResponseBody, ResponseBudget};

/// A response up to this size on HTTP/1.1 is not counted: the socket's buffer takes it.
const SMALL_RESPONSE: u64 = 64 << 10;

/// Answers requests that the edge has admitted.
pub trait RequestHandler: Send + Sync + 'static {
    /// Answers one request.
    fn answer(&self, inbound: Box<Inbound>) -> impl Future<Output = Response> + Send;
}

/// What the requests of one connection have in common.
pub(crate) struct RequestContext<H> {
    pub(crate) edge: Edge,
    pub(crate) handler: Arc<H>,
    pub(crate) peer: Peer,
    pub(crate) budget: Arc<ResponseBudget>,
}

// === impl RequestContext ===

impl<H: RequestHandler> RequestContext<H> {
    /// Answers one request.
    pub(crate) async fn answer(
        self: Arc<Self>,
        active: ActiveRequest,
        mut inbound: Box<Inbound>,
        unread: UnreadBody,
    ) -> Result<Response, Infallible> {
        let response = match self.edge.admit(&mut inbound.head, &self.peer) {
            Ok(origin) => {
                inbound.origin = Some(origin);
                unread.settle(self.handler.answer(inbound).await).await
            }
            Err(fault) => refuse(&fault, &inbound.head, self.edge.server()),
        };
        Ok(tracked(response, active, &self.budget, self.edge.server()))
    }
}

/// The last response on a connection: where one request could be read in two ways, so can what follows it.
fn refuse(fault: &Fault, head: &Parts, server: ServerUrl) -> Response {
    let id = RequestId::of(&head.headers, SystemClock.now()).at(server);
    let mut response = render(fault, &id, None);
    if head.version <= Version::HTTP_11 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A response as the connection takes it. On HTTP/1.1 one of known length is hyper's as soon as it is given; a stream is
/// under way until its end, and so is every response on HTTP/2.
fn tracked(response: Response, active: ActiveRequest, budget: &Arc<ResponseBudget>, server: ServerUrl) -> Response {
    let connection = Arc::clone(active.connection());
    let length = response.body().size_hint().exact();
    if length == Some(0) || length.is_some_and(|length| length <= SMALL_RESPONSE) && !connection.is_http2() {
        return response;
    }
    let reservation = match length {
        Some(length) => match budget.reserve(&connection, length) {
            Some(reservation) => Some(reservation),
            None => return budget_exhausted(response.headers(), server),
        },
        None => None,
    };
    if connection.is_http2() {
        return response.map(|body| Body::new(ResponseBody::in_chunks(body, connection, reservation)));
    }
    match reservation {
        Some(reservation) => response.map(|body| Body::new(ResponseBody::whole(body, connection, reservation))),
        None => response.map(|body| Body::new(GuardedBody::new(body, active))),
    }
}

/// Replaces a response that finds no memory because other clients read theirs too slowly.
fn budget_exhausted(response: &HeaderMap, server: ServerUrl) -> Response {
    let fault = Fault::new(Code::Unavailable, "the server holds as many answers as it may that nobody reads")
        .with_hint("try again; what is not read goes within seconds")
        .with_retry_after(1)
        // The answer was there: what it answers was done.
        .with_executed(Executed::Unknown);
    render(&fault, &RequestId::of(response, SystemClock.now()).at(server), None)
}
