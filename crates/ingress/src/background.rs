//! Background runs: answered with 202 once the run is committed.

use axum::body::Body;
use axum::response::Response;
use faas_engine::{Accepted, Engine, RunOptions};
use faas_types::Fault;
use faas_web::{Inbound, RequestId, render};
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::call_body::held_body;
use crate::request_headers::call_of;
use crate::run_headers::{CALL_ID, RUN_ID, VERSION};
use crate::run_options::{check_keyless, run_options};
use crate::target::CallTarget;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Accepts a request as a background run and answers with the run's id.
pub(crate) async fn accept_call(engine: &Engine, target: CallTarget, inbound: Inbound, id: &RequestId) -> Response {
    match accept(engine, target, inbound).await {
        Ok(accepted) => answer(accepted, id),
        Err(fault) => render(&fault, id, None),
    }
}

async fn accept(engine: &Engine, target: CallTarget, inbound: Inbound) -> Result<Accepted, Fault> {
    let Inbound { head: parts, body, origin } = inbound;
    if target.keyless {
        check_keyless(&parts.headers, &target.route.version.settings.background.keyless_options)?;
    }
    let later = RunOptions { details: target.details, keyless: target.keyless, ..run_options(&parts.headers)? };
    let body = held_body(&parts.headers, body, engine.runs.room_for_body(&target.route)).await?;
    let (route, call) = call_of(target, &parts, origin.as_deref(), body);
    engine.runs.accept(route, call, later).await
}

fn answer(accepted: Accepted, id: &RequestId) -> Response {
    let run = accepted.run.to_string();
    let body = format!(r#"{{"run_id":"{run}","state":"queued","repeated":{}}}"#, accepted.repeated);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    let of = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("?"));
    headers.insert(LOCATION, of(&format!("/api/v1/runs/{run}")));
    let run = of(&run);
    headers.insert(CALL_ID, run.clone());
    headers.insert(RUN_ID, run);
    headers.insert(VERSION, HeaderValue::from(accepted.version));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static("respond-async"));
    headers.insert(RequestId::HEADER, id.header());
    response
}
