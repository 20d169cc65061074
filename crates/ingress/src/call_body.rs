//! Bodies on their way to a function.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use faas_engine::{BodyStream, InvocationBody, Reservation};
use faas_types::{Code, Fault, limits};
use faas_web::{announced_length, body_too_large, collect_body};
use futures_util::StreamExt;
use http::HeaderMap;
use http_body_util::{BodyExt, LengthLimitError, Limited};

/// How long a function waits for the next part of a body that it reads while it arrives.
const PART_TIMEOUT: Duration = Duration::from_secs(30);
/// Bodies that are announced to be this short are collected even for handlers that could read them piece by piece.
const SHORT: u64 = 64 << 10;

/// A body on its way to a function: still arriving where its handler reads it piece by piece, otherwise collected, with
/// its memory taken from the budget of all bodies.
///
/// # Errors
/// As [`held_body`].
pub(crate) async fn body_of_call(
    headers: &HeaderMap,
    body: Body,
    streams: bool,
    room: Reservation,
) -> Result<InvocationBody, Fault> {
    let announced = announced_length(headers, limits::BODY_MAX)?;
    if body.is_end_stream() {
        return Ok(InvocationBody::default());
    }
    if streams && announced.is_none_or(|length| length > SHORT) {
        return Ok(InvocationBody::Stream(arriving(body, limits::BODY_MAX)));
    }
    Box::pin(held_body(headers, body, room)).await.map(InvocationBody::Whole)
}

/// The whole body of a call, with its memory taken from the budget of all bodies as it comes.
///
/// # Errors
/// As [`read_body`]; `FN_016` when too many bodies are held already.
pub(crate) async fn held_body(headers: &HeaderMap, body: Body, mut room: Reservation) -> Result<Bytes, Fault> {
    announced_length(headers, limits::BODY_MAX)?;
    let whole = collect_body(body, limits::BODY_MAX, |part| room.grow(part)).await?;
    Ok(room.hold(whole))
}

/// The parts of a body as they come, taken from the connection only when the reader asks.
fn arriving(body: Body, limit: u64) -> BodyStream {
    let body = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
    let parts = futures_util::stream::unfold(Some(body), move |body| async move {
        let mut body = body?;
        loop {
            let fault = match tokio::time::timeout(PART_TIMEOUT, body.frame()).await {
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(chunk) if !chunk.is_empty() => return Some((Ok(chunk), Some(body))),
                    _ => continue,
                },
                Ok(None) => return None,
                Ok(Some(Err(error))) if error.is::<LengthLimitError>() => body_too_large(limit),
                Ok(Some(Err(error))) => Fault::new(Code::BadRequest, format!("the body broke off: {error}")),
                Err(_) => Fault::new(Code::BadRequest, "the body stopped arriving").with_hint("send it without pauses"),
            };
            return Some((Err(fault), None));
        }
    });
    parts.boxed()
}
