//! Reading a request's body within a limit.

use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use faas_engine::{BodyStream, InvocationBody, Reservation};
use faas_types::{ByteSize, Code, Fault, limits};
use futures_util::StreamExt;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, LengthLimitError, Limited};

/// How long a body may take whatever its size.
const PATIENCE: Duration = Duration::from_secs(30);
/// How fast a body must come once that is over, in bytes a second; slower ones only hold a connection.
const SLOWEST: u64 = 16 << 10;

/// How long a function waits for the next part of a body that it reads while it arrives.
const PART_PATIENCE: Duration = Duration::from_secs(30);
/// Bodies that are announced to be this short are collected even for handlers that could read them piece by piece.
const SHORT: u64 = 64 << 10;

/// The whole body, at most `limit` bytes of it.
///
/// # Errors
/// `FN_011` when it is larger; `FN_012` when it breaks off or comes too slowly.
pub async fn read_body(headers: &HeaderMap, body: Body, limit: u64) -> Result<Bytes, Fault> {
    check_announced(headers, limit)?;
    collect(body, limit, |_| Ok(())).await
}

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
    let announced = check_announced(headers, limits::BODY_MAX)?;
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
    check_announced(headers, limits::BODY_MAX)?;
    let whole = collect(body, limits::BODY_MAX, |part| room.grow(part)).await?;
    Ok(room.hold(whole))
}

fn check_announced(headers: &HeaderMap, limit: u64) -> Result<Option<u64>, Fault> {
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    match announced {
        Some(length) if length > limit => Err(too_large(limit)),
        announced => Ok(announced),
    }
}

async fn collect(body: Body, limit: u64, mut reserve: impl FnMut(u64) -> Result<(), Fault>) -> Result<Bytes, Fault> {
    let (mut body, mut whole) = (Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX)), Bytes::new());
    let began = Instant::now();
    loop {
        let until = began + PATIENCE + Duration::from_secs(whole.len() as u64 / SLOWEST);
        match tokio::time::timeout_at(until.into(), body.frame()).await {
            Ok(Some(Ok(frame))) => {
                if let Ok(chunk) = frame.into_data() {
                    reserve(chunk.len() as u64)?;
                    whole = joined(whole, chunk);
                }
            }
            Ok(None) => return Ok(whole),
            Ok(Some(Err(error))) if error.is::<LengthLimitError>() => return Err(too_large(limit)),
            Ok(Some(Err(error))) => return Err(Fault::new(Code::BadRequest, format!("the body broke off: {error}"))),
            Err(_) => return Err(too_slow(whole.len())),
        }
    }
}

/// The parts of a body as they come, taken from the connection only when somebody asks.
fn arriving(body: Body, limit: u64) -> BodyStream {
    let body = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
    let parts = futures_util::stream::unfold(Some(body), move |body| async move {
        let mut body = body?;
        loop {
            let fault = match tokio::time::timeout(PART_PATIENCE, body.frame()).await {
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(chunk) if !chunk.is_empty() => return Some((Ok(chunk), Some(body))),
                    _ => continue,
                },
                Ok(None) => return None,
                Ok(Some(Err(error))) if error.is::<LengthLimitError>() => too_large(limit),
                Ok(Some(Err(error))) => Fault::new(Code::BadRequest, format!("the body broke off: {error}")),
                Err(_) => Fault::new(Code::BadRequest, "the body stopped arriving").with_hint("send it without pauses"),
            };
            return Some((Err(fault), None));
        }
    });
    parts.boxed()
}

/// Most bodies are one chunk, which then is not copied; others grow in place.
fn joined(whole: Bytes, chunk: Bytes) -> Bytes {
    if whole.is_empty() {
        return chunk;
    }
    let mut grown = BytesMut::from(whole);
    grown.extend_from_slice(&chunk);
    grown.freeze()
}

fn too_slow(received: usize) -> Fault {
    Fault::new(Code::BadRequest, format!("the body came too slowly: {received} bytes so far"))
        .with_hint(format!("send it at {} a second or faster", ByteSize::from_bytes(SLOWEST)))
}

fn too_large(limit: u64) -> Fault {
    let limit = ByteSize::from_bytes(limit);
    Fault::new(Code::PayloadTooLarge, format!("the body is larger than {limit}"))
        .with_hint(format!("send at most {limit}, or pass a reference to where the data is"))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn chunks(count: usize, pause: Duration) -> Body {
        Body::from_stream(stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, std::io::Error>(Bytes::from(vec![0; 4 << 10]))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_given_up() {
        let fault = read_body(&HeaderMap::new(), chunks(1_000, Duration::from_secs(5)), 10 << 20).await.err();
        assert_eq!(fault.map(|fault| fault.code), Some(Code::BadRequest));
    }

    #[tokio::test]
    async fn chunks_become_one_body_up_to_the_limit() {
        let read = |limit| read_body_of(chunks(3, Duration::ZERO), limit);
        assert_eq!(read(12 << 10).await.map(|bytes| bytes.len()), Ok(12 << 10));
        assert_eq!(read((12 << 10) - 1).await, Err(Code::PayloadTooLarge));
    }

    async fn read_body_of(body: Body, limit: u64) -> Result<Bytes, Code> {
        read_body(&HeaderMap::new(), body, limit).await.map_err(|fault| fault.code)
    }
}
