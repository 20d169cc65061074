//! What the caller of a function gets: a whole reply, a streamed one, or the reason of a failure.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use faas_ports::ReplyHead;
use faas_types::{Fault, RunId, Timeline};
use futures_util::Stream;
use futures_util::stream::BoxStream;

use crate::payload::http_reply::announced_length;

/// A function's reply.
pub struct Call {
    /// The run.
    pub run: RunId,
    /// The version that answered.
    pub version: u32,
    /// Whether an instance had to be started.
    pub cold_start: bool,
    /// Microseconds from acceptance to the reply's head, or to its end where the body is whole.
    pub duration_us: u64,
    /// Where that time went.
    pub timeline: Timeline,
    /// Status and headers.
    pub head: ReplyHead,
    /// The body.
    pub body: CallBody,
}

/// A reply's body.
pub enum CallBody {
    /// Everything; the run has ended.
    Whole(Bytes),
    /// Chunks as they come; the run ends with the stream, and is cancelled when the stream is dropped before.
    Stream(BoxStream<'static, Result<Bytes, Fault>>),
}

/// Why there is no reply. Where a run was made, it has ended.
#[derive(Debug)]
pub struct CallFailure {
    /// The run, once there was one.
    pub run: Option<RunId>,
    /// The version, once it was known.
    pub version: Option<u32>,
    /// Whether an instance had to be started.
    pub cold_start: bool,
    /// Microseconds from acceptance to the failure.
    pub duration_us: u64,
    /// Where that time went.
    pub timeline: Timeline,
    /// What happened.
    pub fault: Fault,
}

// === impl Call ===

impl Call {
    /// How long the function says that its body is, or that of an answer to GET would be.
    #[must_use]
    pub fn announced_length(&self) -> Option<u64> {
        announced_length(&self.head)
    }
}

// === impl CallFailure ===

impl From<Fault> for CallFailure {
    fn from(fault: Fault) -> Self {
        Self { run: None, version: None, cold_start: false, duration_us: 0, timeline: Timeline::default(), fault }
    }
}

// === impl CallBody ===

impl Stream for CallBody {
    type Item = Result<Bytes, Fault>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Self::Stream(stream) => stream.as_mut().poll_next(cx),
        }
    }
}
