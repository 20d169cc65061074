//! The bodies of responses that wait for their clients: how much memory they hold, and since when each waits.
//!
//! HTTP/1.1 writes one response at a time to the socket, which shows when the client reads nothing. HTTP/2 holds responses back by
//! the client's flow-control windows while the socket stays writable, so each response is tracked: it is handed over in chunks,
//! and each chunk notes when it has been written.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

use crate::connection_state::ConnectionState;
use crate::write_progress::WriteProgress;

/// A chunk of an HTTP/2 response: a frame's size, so that no more than one per response waits inside the protocol.
const CHUNK_MAX: usize = 16 << 10;

/// Bounds the bytes of responses that wait for their clients, of all connections together.
#[derive(Debug)]
pub(crate) struct ResponseBudget {
    most: u64,
    held: AtomicU64,
}

/// A part of the budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct ResponseReservation {
    budget: Arc<ResponseBudget>,
    connection: Arc<ConnectionState>,
    bytes: u64,
}

/// What the chunks of a response share. Dropped when the last of them is written.
struct Account {
    progress: Arc<WriteProgress>,
    connection: Arc<ConnectionState>,
    id: u64,
    _reservation: Option<ResponseReservation>,
}

/// A response's body whose writing is followed.
pub(crate) struct ResponseBody {
    body: Body,
    /// What is left of a frame that is larger than a chunk.
    rest: Bytes,
    account: Arc<Account>,
    chunk_max: usize,
}

/// Bytes that note when they are written or given up.
struct TrackedChunk {
    bytes: Bytes,
    account: Arc<Account>,
}

// === impl ResponseBudget ===

impl ResponseBudget {
    pub(crate) fn new(most: u64) -> Arc<Self> {
        Arc::new(Self { most, held: AtomicU64::new(0) })
    }

    /// Reserves memory for a response of this size, if there is any left.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        connection: &Arc<ConnectionState>,
        bytes: u64,
    ) -> Option<ResponseReservation> {
        let fits = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= self.most);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        connection.hold_response_bytes(bytes);
        Some(ResponseReservation { budget: Arc::clone(self), connection: Arc::clone(connection), bytes })
    }

    /// How much has to be given back before others find memory; 0 while a quarter is free.
    pub(crate) fn excess(&self) -> u64 {
        self.held.load(Ordering::Relaxed).saturating_sub(self.most / 4 * 3)
    }
}

impl Drop for ResponseReservation {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
        self.connection.release_response_bytes(self.bytes);
    }
}

// === impl ResponseBody ===

impl ResponseBody {
    /// A response of an HTTP/2 connection, in chunks.
    pub(crate) fn in_chunks(
        body: Body,
        connection: Arc<ConnectionState>,
        reservation: Option<ResponseReservation>,
    ) -> Self {
        Self::new(body, connection, reservation, CHUNK_MAX)
    }

    /// A response of an HTTP/1.1 connection, as it is: only its memory is counted.
    pub(crate) fn whole(body: Body, connection: Arc<ConnectionState>, reservation: ResponseReservation) -> Self {
        Self::new(body, connection, Some(reservation), usize::MAX)
    }

    fn new(
        body: Body,
        connection: Arc<ConnectionState>,
        reservation: Option<ResponseReservation>,
        chunk_max: usize,
    ) -> Self {
        connection.request_began();
        let (id, progress) = (connection.next_response(), Arc::new(WriteProgress::default()));
        // Asked for at once where the client takes anything.
        progress.start(connection.now());
        connection.pending_writes().insert(id, Arc::clone(&progress));
        let account = Arc::new(Account { progress, connection, id, _reservation: reservation });
        Self { body, rest: Bytes::new(), account, chunk_max }
    }

    fn hand(&mut self, mut chunk: Bytes) -> Frame<Bytes> {
        if chunk.len() > self.chunk_max {
            self.rest = chunk.split_off(self.chunk_max);
        }
        self.account.progress.handed_over(chunk.len(), self.account.connection.now());
        Frame::data(Bytes::from_owner(TrackedChunk { bytes: chunk, account: Arc::clone(&self.account) }))
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            return Poll::Ready(Some(Ok(self.hand(rest))));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => {
                self.account.progress.starved();
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(match frame.into_data() {
                Ok(chunk) => self.hand(chunk),
                Err(other) => other,
            }))),
            ended => ended,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

// === impl TrackedChunk ===

impl AsRef<[u8]> for TrackedChunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for TrackedChunk {
    fn drop(&mut self) {
        self.account.progress.written(self.bytes.len());
    }
}

// === impl Account ===

impl Drop for Account {
    fn drop(&mut self) {
        self.connection.pending_writes().remove(self.id);
        self.connection.request_ended();
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_response_waits_for_its_client_until_its_chunks_are_written() {
        let connection = Arc::new(ConnectionState::new());
        let budget = ResponseBudget::new(100_000);
        let reservation = budget.reserve(&connection, 40_000);
        let mut response = ResponseBody::in_chunks(Body::from(vec![7; 40_000]), Arc::clone(&connection), reservation);
        assert!(connection.pending_writes().longest().is_some(), "the client has its turn from the start");
        let mut chunks = Vec::new();
        while let Some(frame) = response.frame().await {
            chunks.extend(frame.expect("a body in memory").into_data());
        }
        assert_eq!(chunks.iter().map(Bytes::len).collect::<Vec<_>>(), [CHUNK_MAX, CHUNK_MAX, 40_000 - 2 * CHUNK_MAX]);
        drop(response);
        chunks.remove(0);
        assert_eq!(connection.pending_writes().longest().map(|(_, taken)| taken), Some(CHUNK_MAX as u64));
        assert!(budget.reserve(&connection, 60_001).is_none(), "what is not written holds its memory");
        chunks.clear();
        assert_eq!(connection.pending_writes().longest(), None);
        assert!(budget.reserve(&connection, 100_000).is_some());
    }

    #[tokio::test]
    async fn a_function_that_writes_slowly_is_no_slow_reader() {
        let connection = Arc::new(ConnectionState::new());
        let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
        let chunks = futures_util::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|chunk| (Ok::<_, std::io::Error>(chunk), receiver))
        });
        let mut response = ResponseBody::in_chunks(Body::from_stream(chunks), Arc::clone(&connection), None);
        let waits = |connection: &ConnectionState| connection.pending_writes().longest().is_some();
        let poll = |response: &mut ResponseBody| {
            let mut context = Context::from_waker(std::task::Waker::noop());
            Pin::new(response).poll_frame(&mut context)
        };
        assert!(poll(&mut response).is_pending() && !waits(&connection), "the function has its turn");
        sender.send(Bytes::from_static(b"a")).await.expect("room");
        let chunk = poll(&mut response);
        assert!(chunk.is_ready() && waits(&connection), "the client has its turn");
        assert!(poll(&mut response).is_pending() && waits(&connection), "and keeps it while a chunk is not written");
        drop(chunk);
        assert!(!waits(&connection));
    }
}
