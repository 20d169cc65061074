//! Reading a request's body within limits of size and time.

use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use faas_types::{ByteSize, Code, Fault};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, LengthLimitError, Limited};

/// How long a body may take whatever its size.
const BASE_TIMEOUT: Duration = Duration::from_secs(30);
/// How fast a body must arrive after that, in bytes a second.
const SLOWEST: u64 = 16 << 10;

/// The whole body, at most `limit` bytes of it.
///
/// # Errors
/// `FN_011` when it is larger; `FN_012` when it breaks off or comes too slowly.
pub async fn read_body(headers: &HeaderMap, body: Body, limit: u64) -> Result<Bytes, Fault> {
    announced_length(headers, limit)?;
    collect_body(body, limit, |_| Ok(())).await
}

/// The length that the request announces.
///
/// # Errors
/// `FN_011` when it is above `limit`.
pub fn announced_length(headers: &HeaderMap, limit: u64) -> Result<Option<u64>, Fault> {
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    match announced {
        Some(length) if length > limit => Err(body_too_large(limit)),
        announced => Ok(announced),
    }
}

/// The whole body, at most `limit` bytes of it. `reserve` is asked for the memory of each part as it comes.
///
/// # Errors
/// As [`read_body`], and what `reserve` returns.
pub async fn collect_body(
    body: Body,
    limit: u64,
    mut reserve: impl FnMut(u64) -> Result<(), Fault>,
) -> Result<Bytes, Fault> {
    let (mut body, mut whole) = (Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX)), Bytes::new());
    let began = Instant::now();
    loop {
        let until = began + BASE_TIMEOUT + Duration::from_secs(whole.len() as u64 / SLOWEST);
        match tokio::time::timeout_at(until.into(), body.frame()).await {
            Ok(Some(Ok(frame))) => {
                if let Ok(chunk) = frame.into_data() {
                    reserve(chunk.len() as u64)?;
                    whole = joined(whole, chunk);
                }
            }
            Ok(None) => return Ok(whole),
            Ok(Some(Err(error))) if error.is::<LengthLimitError>() => return Err(body_too_large(limit)),
            Ok(Some(Err(error))) => return Err(Fault::new(Code::BadRequest, format!("the body broke off: {error}"))),
            Err(_) => return Err(too_slow(whole.len())),
        }
    }
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

/// The fault of a body that is larger than `limit`.
#[must_use]
pub fn body_too_large(limit: u64) -> Fault {
    let limit = ByteSize::from_bytes(limit);
    Fault::new(Code::PayloadTooLarge, format!("the body is larger than {limit}"))
        .with_hint(format!("send at most {limit}, or pass a reference to where the data is"))
}

#[cfg(test)]
mod tests {
    use futures_util::stream::{self, StreamExt};

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
