//! A body that is recorded while it is sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use bytes::BytesMut;
use http_body::{Frame, SizeHint};

/// Records a body on its way. One that breaks off or grows too large is not stored.
pub(super) struct RecordingBody<F: FnOnce(Bytes)> {
    body: Body,
    so_far: BytesMut,
    most: usize,
    keep: Option<F>,
}

// === impl RecordingBody ===

impl<F: FnOnce(Bytes)> RecordingBody<F> {
    /// Calls `keep` with the whole body at its end. Whatever `keep` holds is dropped otherwise.
    pub(super) fn new(body: Body, most: usize, keep: F) -> Self {
        Self { body, so_far: BytesMut::new(), most, keep: Some(keep) }
    }

    fn take(&mut self, chunk: &Bytes) {
        if self.so_far.len() + chunk.len() > self.most {
            self.keep = None;
            self.so_far = BytesMut::new();
        } else if self.keep.is_some() {
            self.so_far.extend_from_slice(chunk);
        }
    }
}

impl<F: FnOnce(Bytes) + Unpin> HttpBody for RecordingBody<F> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(chunk) = frame.data_ref() {
                    self.take(chunk);
                }
            }
            Poll::Ready(Some(Err(_))) => self.keep = None,
            Poll::Ready(None) => {
                if let Some(keep) = self.keep.take() {
                    keep(self.so_far.split().freeze());
                }
            }
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
