//! Reading a request's body within a limit.

use axum::body::Body;
use bytes::Bytes;
use faas_types::{ByteSize, Code, Fault};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, LengthLimitError, Limited};

/// The whole body, at most `limit` bytes of it.
///
/// # Errors
/// `FN_011` when it is larger; `FN_012` when it breaks off.
pub async fn read_body(headers: &HeaderMap, body: Body, limit: u64) -> Result<Bytes, Fault> {
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    if announced.is_some_and(|length: u64| length > limit) {
        return Err(too_large(limit));
    }
    let limited = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
    match limited.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(limit)),
        Err(error) => Err(Fault::new(Code::BadRequest, format!("the body broke off: {error}"))),
    }
}

fn too_large(limit: u64) -> Fault {
    let limit = ByteSize::from_bytes(limit);
    Fault::new(Code::PayloadTooLarge, format!("the body is larger than {limit}"))
        .with_hint(format!("send at most {limit}, or pass a reference to where the data is"))
}
