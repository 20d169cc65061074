//! Streams of events: server-sent events or a line of JSON each, as the client asks by `Accept`.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use faas_ports::{Clock, SystemClock};
use faas_proto::rest::StreamEvent;
use faas_types::{Fault, Reason};
use faas_web::{HandlerError, RequestId};
use futures_util::stream::{self, Stream, StreamExt};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use serde_json::json;

/// How a client wants what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamForm {
    /// A page of JSON, as it is now.
    Page,
    /// Server-sent events.
    Frames,
    /// One event a line.
    Lines,
}

/// What a client accepts, and the event after which it goes on.
#[derive(Clone, Debug)]
pub(crate) struct StreamRequest {
    pub(crate) form: StreamForm,
    /// The request's id, for a problem that ends the stream.
    pub(crate) id: RequestId,
    last_id: Option<String>,
}

const FRAMES: &str = "text/event-stream";
const LINES: &str = "application/x-ndjson";
/// The first frame: how long a client waits before it connects again.
const RETRY: &[u8] = b"retry: 2000\n\n";
/// Silence after which a sign of life is sent, so that neither side takes the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

// === impl StreamRequest ===

impl<S: Sync> FromRequestParts<S> for StreamRequest {
    type Rejection = HandlerError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, HandlerError> {
        let accepted = parts.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let form = accepted.flat_map(|value| value.split(',')).find_map(form).unwrap_or(StreamForm::Page);
        let last_id = match parts.headers.get("last-event-id").map(|value| value.to_str()) {
            Some(Ok(text)) if !text.is_empty() => Some(text.to_owned()),
            Some(Err(_)) => return Err(HandlerError(no_position())),
            _ => None,
        };
        let id = parts.extensions.get::<RequestId>().cloned();
        let id = id.ok_or_else(|| HandlerError(Fault::internal("a request has no id")))?;
        Ok(Self { form, id, last_id })
    }
}

impl StreamRequest {
    /// The position that `Last-Event-ID` names.
    pub(crate) fn last_position(&self) -> Result<Option<u64>, Fault> {
        self.last_id.as_deref().map(|text| text.parse().map_err(|_| no_position())).transpose()
    }
}

impl StreamForm {
    /// The response that carries events until the stream ends. Signs of life fill its silence.
    pub(crate) fn response(self, events: impl Stream<Item = StreamEvent> + Send + 'static) -> Response {
        let (media_type, first) = match self {
            Self::Lines => (LINES, &b""[..]),
            Self::Frames | Self::Page => (FRAMES, RETRY),
        };
        let first = stream::iter((!first.is_empty()).then(|| Bytes::from_static(first)));
        let body = first.chain(self.written(events)).map(Ok::<Bytes, Infallible>);
        ([(CONTENT_TYPE, media_type), (CACHE_CONTROL, "no-cache")], Body::from_stream(body)).into_response()
    }

    fn written(self, events: impl Stream<Item = StreamEvent> + Send + 'static) -> impl Stream<Item = Bytes> + Send {
        let state = (Box::pin(events), String::new());
        stream::unfold(state, move |(mut events, mut last)| async move {
            let bytes = match tokio::time::timeout(HEARTBEAT, pin!(events.next())).await {
                Ok(Some(event)) => {
                    last.clone_from(&event.id);
                    self.event(&event)
                }
                Ok(None) => return None,
                Err(_) => self.heartbeat(&last),
            };
            Some((bytes, (events, last)))
        })
    }

    fn event(self, event: &StreamEvent) -> Bytes {
        // Plain strings and JSON always encode.
        let json = serde_json::to_string(event).unwrap_or_default();
        Bytes::from(match self {
            Self::Lines => json + "\n",
            Self::Frames | Self::Page => format!("id: {}\nevent: {}\ndata: {json}\n\n", event.id, event.kind),
        })
    }

    /// Lines have no comments, so that theirs is an event.
    fn heartbeat(self, last: &str) -> Bytes {
        match self {
            Self::Lines => self.event(&event(&last, "heartbeat", &json!({}))),
            Self::Frames | Self::Page => Bytes::from_static(b": heartbeat\n\n"),
        }
    }
}

fn form(accepted: &str) -> Option<StreamForm> {
    match accepted.split(';').next()?.trim() {
        FRAMES => Some(StreamForm::Frames),
        LINES => Some(StreamForm::Lines),
        "application/json" => Some(StreamForm::Page),
        _ => None,
    }
}

/// An event of now.
pub(crate) fn event(id: &impl ToString, kind: &str, data: &impl serde::Serialize) -> StreamEvent {
    let data = serde_json::to_value(data).unwrap_or_default();
    StreamEvent { id: id.to_string(), kind: kind.to_owned(), at: SystemClock.now().to_string(), data }
}

fn no_position() -> Fault {
    Fault::new(Reason::InvalidHeader, "the header Last-Event-ID is not the id of an event of this stream")
        .with_hint("send the id of the last event that came, or leave the header away")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled_and_every_event_has_its_id() {
        let one = || StreamEvent { at: "then".into(), ..event(&7, "log", &json!({"message": "a\nb"})) };
        let silent = || stream::iter([one()]).chain(stream::pending());
        let first = |form: StreamForm| async move {
            form.written(silent())
                .take(2)
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .collect::<Vec<_>>()
                .await
        };
        let json = r#"{"id":"7","type":"log","at":"then","data":{"message":"a\nb"}}"#;
        let frames = first(StreamForm::Frames).await;
        assert_eq!(frames, [format!("id: 7\nevent: log\ndata: {json}\n\n"), ": heartbeat\n\n".to_owned()]);
        let lines = first(StreamForm::Lines).await;
        assert_eq!(lines[0], format!("{json}\n"));
        assert!(
            lines[1].starts_with(r#"{"id":"7","type":"heartbeat","at":""#) && lines[1].ends_with("\n"),
            "{lines:?}"
        );
    }

    #[tokio::test]
    async fn the_first_form_that_is_accepted_counts() {
        for (accept, expected) in [
            ("text/event-stream, application/json", StreamForm::Frames),
            ("application/x-ndjson;q=0.9", StreamForm::Lines),
            ("application/json, text/event-stream", StreamForm::Page),
            ("*/*", StreamForm::Page),
        ] {
            let request = http::Request::builder().header(ACCEPT, accept).header("Last-Event-ID", "12");
            let request = request.extension(RequestId::of(&http::HeaderMap::new(), SystemClock.now()));
            let (mut parts, ()) = request.body(()).expect("a request").into_parts();
            let request = StreamRequest::from_request_parts(&mut parts, &()).await.expect("good headers");
            assert_eq!((request.form, request.last_position()), (expected, Ok(Some(12))), "{accept}");
        }
    }
}
