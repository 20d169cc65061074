//! `/hooks/{token}`: deliveries to webhooks, answered with 202 once the run is committed, or with the function's own reply.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use faas_engine::{CallFailure, DeliveryOutcome, DeliveryReply, Engine, TriggerEntry, WebhookDelivery};
use faas_proto::rest::AcceptedDelivery;
use faas_types::{Code, Fault, RunId, limits};
use faas_web::{RequestId, RequestOrigin, read_body, render, render_bare};
use http::header::{ALLOW, CONTENT_TYPE, LOCATION};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::failure_detail::brief;
use crate::function_url::Ingress;
use crate::reply::reply_headers;
use crate::request_headers::passed_headers;
use crate::run_headers::{CALL_ID, RUN_ID};

/// Every webhook's URL starts with it.
pub const HOOKS_PREFIX: &str = "/hooks/";

const REPEATED: HeaderName = HeaderName::from_static("x-delivery-repeated");

// === impl Ingress ===

impl Ingress {
    /// Answers a request whose path starts with [`HOOKS_PREFIX`].
    pub async fn deliver(&self, request: Request) -> Response {
        let id = self.request_id(request.headers());
        let token = request.uri().path().strip_prefix(HOOKS_PREFIX).unwrap_or_default().to_owned();
        answer_delivery(self.engine(), &token, request, self.tells_all(), &id).await
    }
}

/// Answers a delivery to the webhook with this token.
async fn answer_delivery(engine: &Engine, token: &str, request: Request, details: bool, id: &RequestId) -> Response {
    if request.method() != Method::POST {
        let fault = Fault::new(Code::MethodNotAllowed, "a webhook takes POST");
        let mut response = render(&fault, id, None);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    // Looked up first: the body is read only for a caller that knows a token.
    let entry = match engine.triggers.find_webhook(token) {
        Ok(entry) => entry,
        Err(fault) => return render(&fault, id, None),
    };
    match deliver(engine, &entry, request).await {
        Ok(DeliveryOutcome::Accepted { run, repeated }) => accepted(run, repeated, id),
        Ok(DeliveryOutcome::Answered(reply)) => answered(reply, id),
        Err(failure) => {
            // The sender of a delivery has no key that may read runs.
            let details = details || engine.triggers.shows_failures(&entry).await;
            render_bare(&brief(&failure.fault, details), id, failure.run)
        }
    }
}

async fn deliver(engine: &Engine, entry: &Arc<TriggerEntry>, request: Request) -> Result<DeliveryOutcome, CallFailure> {
    let (parts, body) = request.into_parts();
    let body = read_body(&parts.headers, body, limits::BODY_MAX).await?;
    let headers = passed_headers(&parts, parts.extensions.get::<Arc<RequestOrigin>>().map(Arc::as_ref), None);
    let query = parts.uri.query().unwrap_or_default().to_owned();
    engine.triggers.deliver(entry, WebhookDelivery { headers, query, body }).await
}

fn accepted(run: RunId, repeated: bool, id: &RequestId) -> Response {
    let body = AcceptedDelivery { run_id: run.to_string(), repeated };
    // Text and a boolean always encode.
    let mut response = Response::new(Body::from(serde_json::to_vec(&body).unwrap_or_default()));
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(location) = HeaderValue::try_from(format!("/api/v1/runs/{run}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    annotated(response, run, repeated, id)
}

fn answered(reply: DeliveryReply, id: &RequestId) -> Response {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.head.status).unwrap_or(StatusCode::BAD_GATEWAY);
    reply_headers(&reply.head.headers, response.headers_mut());
    annotated(response, reply.run, reply.repeated, id)
}

fn annotated(mut response: Response, run: RunId, repeated: bool, id: &RequestId) -> Response {
    let headers = response.headers_mut();
    if let Ok(run) = HeaderValue::try_from(run.to_string()) {
        headers.insert(CALL_ID, run.clone());
        headers.insert(RUN_ID, run);
    }
    headers.insert(REPEATED, HeaderValue::from_static(if repeated { "true" } else { "false" }));
    headers.insert(RequestId::HEADER, id.header());
    response
}
