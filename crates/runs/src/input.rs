//! What a run was called with, as the queue keeps it.
//!
//! One byte for the form, four for the head's length (big-endian), the head as JSON, then the body unless the head
//! names a blob that holds it.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use faas_ports::{Blobs, PortError};
use faas_types::{Digest, Fault};
use serde::{Deserialize, Serialize};

use crate::payload::Payload;

const FORM: u8 = 2;
const PREFIX: usize = 5;
/// Bytes of a run's id in front of its body.
const MARK: usize = 16;

/// What a run was called with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunInput {
    /// What it was made of, besides its body.
    pub payload: Payload,
    /// The body.
    pub body: Bytes,
    /// How long after acceptance an attempt may begin, where the caller said so.
    pub max_age: Option<Duration>,
}

#[derive(Serialize, Deserialize)]
struct Head<P = Payload> {
    payload: P,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_age_ms: Option<u64>,
    /// Holds the body behind the run's id, so that no other run has the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blob: Option<Digest>,
}

// === impl RunInput ===

impl RunInput {
    /// Encodes it with its body, however large that is: for inputs of our own, which are bounded.
    pub(crate) fn inline(&self) -> Result<Bytes, Fault> {
        self.encode(None)
    }

    /// Encodes it with its body, or with the name of the blob that holds it behind the id of its run.
    pub(crate) fn encode(&self, blob: Option<Digest>) -> Result<Bytes, Fault> {
        let inline = blob.is_none();
        let head = Head {
            payload: &self.payload,
            max_age_ms: self.max_age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            blob,
        };
        let head = serde_json::to_vec(&head).map_err(|error| Fault::internal(format!("an input's head: {error}")))?;
        let length = u32::try_from(head.len()).map_err(|_| Fault::internal("an input's head is too long"))?;
        let body = if inline { &self.body[..] } else { &[] };
        let mut bytes = BytesMut::with_capacity(PREFIX + head.len() + body.len());
        bytes.put_u8(FORM);
        bytes.put_u32(length);
        bytes.put_slice(&head);
        bytes.put_slice(body);
        Ok(bytes.freeze())
    }

    /// The blob that holds the body of an input, if one does.
    pub fn blob_of(bytes: &[u8]) -> Result<Option<Digest>, PortError> {
        Ok(head(bytes)?.0.blob)
    }

    /// The inverse of [`RunInput::encode`].
    pub(crate) async fn load(bytes: Bytes, blobs: &dyn Blobs) -> Result<Self, PortError> {
        let (head, length) = head(&bytes)?;
        let body = match &head.blob {
            Some(digest) => {
                let mut body = blobs.get(digest).await?;
                drop(body.split_to(MARK.min(body.len())));
                body
            }
            None => bytes.slice(PREFIX + length..),
        };
        Ok(Self { payload: head.payload, body, max_age: head.max_age_ms.map(Duration::from_millis) })
    }
}

/// The head of an input, and its length.
fn head(bytes: &[u8]) -> Result<(Head, usize), PortError> {
    let corrupt = || PortError::Corrupt { what: "a run's input".into() };
    let length = match bytes.get(..PREFIX) {
        Some([FORM, length @ ..]) => u32::from_be_bytes(*length.first_chunk().ok_or_else(corrupt)?) as usize,
        _ => return Err(corrupt()),
    };
    let head = bytes.get(PREFIX..PREFIX.saturating_add(length)).ok_or_else(corrupt)?;
    Ok((serde_json::from_slice(head).map_err(|_| corrupt())?, length))
}

#[cfg(test)]
mod tests {
    use faas_testkit::MemoryBlobs;
    use faas_types::limits;
    use proptest::prelude::*;

    use super::*;
    use crate::payload::HttpRequest;

    fn input(body: Vec<u8>) -> RunInput {
        RunInput {
            payload: Payload::Http(HttpRequest {
                method: "POST".into(),
                path: "/a%2Fb".into(),
                query: "x=1".into(),
                headers: vec![("x-a".into(), "ü".into())],
            }),
            body: body.into(),
            max_age: Some(Duration::from_millis(1_500)),
        }
    }

    #[tokio::test]
    async fn inputs_round_trip_and_large_bodies_go_to_the_blobs() {
        let blobs = MemoryBlobs::default();
        for size in [0, 1, limits::INPUT_INLINE_MAX, limits::INPUT_INLINE_MAX + 1] {
            let input = input(vec![7; size]);
            let blob = match input.body.len() {
                size if size > limits::INPUT_INLINE_MAX => Some(blobs.put_marked(7, input.body.clone()).await),
                _ => None,
            };
            let stored = input.encode(blob.transpose().expect("put")).expect("encode");
            assert!(stored.len() < limits::INPUT_INLINE_MAX + 500, "{size}");
            assert_eq!(RunInput::load(stored, &blobs).await.expect("load"), input);
        }
    }

    proptest! {
        #[test]
        fn damaged_inputs_are_refused_not_trusted(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
            let _ = runtime.block_on(RunInput::load(bytes.into(), &MemoryBlobs::default()));
        }
    }
}
