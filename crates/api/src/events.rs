//! `/api/v1/events`: CloudEvents in, a run for each trigger that wants one.

use axum::extract::{Request, State};
use axum::response::IntoResponse;
use faas_engine::PublishedEvent;
use faas_proto::rest::{EventRun, Problem, PublishedEvents};
use faas_types::limits;
use faas_web::{Authorized, HandlerError, Json, read_body};
use http::{HeaderMap, StatusCode};

use crate::state::ApiState;

/// Publishes CloudEvents: binary (headers `ce-*`), structured (`application/cloudevents+json`) or batched
/// (`application/cloudevents-batch+json`). Every event trigger that wants one makes a run; either all are made or none.
#[utoipa::path(post, path = "/api/v1/events", operation_id = "events.publish", tag = "events",
    request_body(content = serde_json::Value, description = "one event, or a batch of at most 1000", content_type = "application/cloudevents+json"), responses(
    (status = 202, body = PublishedEvents),
    (status = 429, description = "too many runs wait", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "the disk is full, or the server is stopping", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn publish_events(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    request: Request,
) -> Result<impl IntoResponse, HandlerError> {
    let (parts, body) = request.into_parts();
    let body = read_body(&parts.headers, body, limits::BODY_MAX).await?;
    let events = PublishedEvent::read(&texts(&parts.headers), &body)?;
    let fired = state.engine.triggers.publish(caller.project, &events).await?;
    let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let runs = fired.into_iter().map(|fired| EventRun {
        event: narrow(fired.event),
        function: fired.function.to_string(),
        trigger: fired.trigger.to_string(),
        run_id: fired.run.to_string(),
        repeated: fired.repeated,
    });
    Ok((StatusCode::ACCEPTED, Json(PublishedEvents { events: narrow(events.len()), runs: runs.collect() })))
}

/// Headers as text; what is no UTF-8 is nothing that an event can hold.
fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}
