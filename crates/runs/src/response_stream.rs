//! A reply's body on its way to the caller while the handler still writes it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use faas_types::{Code, Fault};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::mpsc;

/// How a body ended; set before the sender goes.
type Ending = Arc<OnceLock<Result<(), Fault>>>;

/// The near end of a streamed body.
pub(crate) struct ResponseSender {
    chunks: mpsc::Sender<Bytes>,
    ending: Ending,
}

/// Makes both ends. One chunk is under way at a time: a caller that takes nothing holds the handler back.
pub(crate) fn response_stream() -> (ResponseSender, BoxStream<'static, Result<Bytes, Fault>>) {
    let (chunks, receiver) = mpsc::channel(1);
    let ending = Ending::default();
    let state = Some((receiver, Arc::clone(&ending)));
    let body = stream::unfold(state, |state: Option<(mpsc::Receiver<Bytes>, Ending)>| async move {
        let (mut receiver, ending) = state?;
        match (receiver.recv().await, ending.get()) {
            (Some(chunk), _) => Some((Ok(chunk), Some((receiver, ending)))),
            (None, Some(Ok(()))) => None,
            (None, Some(Err(fault))) => Some((Err(fault.clone()), None)),
            (None, None) => Some((Err(Fault::new(Code::Cancelled, "the reply was given up")), None)),
        }
    });
    (ResponseSender { chunks, ending }, body.boxed())
}

// === impl ResponseSender ===

impl ResponseSender {
    /// Hands over a chunk; `false` when the receiver is gone. Waits until the one before has been taken.
    pub(crate) async fn send(&self, chunk: Bytes) -> bool {
        self.chunks.send(chunk).await.is_ok()
    }

    /// Until the caller has gone away.
    pub(crate) async fn abandoned(&self) {
        self.chunks.closed().await;
    }

    /// The body is complete, or broken off by a fault that the caller's connection then shows.
    pub(crate) fn end(self, ending: Result<(), Fault>) {
        // Only here, and this takes `self`.
        let _ = self.ending.set(ending);
    }
}
