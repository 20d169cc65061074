//! Answers that were handed over and wait for their clients: how much memory they hold, and since when each waits.
//!
//! HTTP/1.1 writes one answer at a time to the socket, which shows when the client takes nothing. HTTP/2 holds answers back
//! by windows of the client's choice while the socket stays writable, so there each answer is watched: it is handed over in
//! pieces, and each piece tells when it has been written.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;

use crate::talk::Talk;

/// A piece of an HTTP/2 answer: a frame's size, so that no more than one per answer waits inside the protocol.
const PIECE: usize = 16 << 10;

/// Bytes of answers that wait for their clients, of all connections.
#[derive(Debug)]
pub(crate) struct AnswerBudget {
    most: u64,
    held: AtomicU64,
}

/// A part of the budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<AnswerBudget>,
    talk: Arc<Talk>,
    bytes: u64,
}

/// Since when an answer waits for its client.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Milliseconds of its connection's clock, plus one; 0 while the function has to write.
    since: AtomicU64,
    /// Bytes that the client has taken since then.
    taken: AtomicU64,
    /// Bytes that are with the protocol and not written.
    out: AtomicU64,
    /// Whether the function has been asked for more and has nothing.
    is_dry: AtomicBool,
}

/// The answers of one HTTP/2 connection that are under way.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<u64, Arc<Turn>>>);

/// What the pieces of an answer share. Gone when the last of them is written.
struct Owed {
    turn: Arc<Turn>,
    talk: Arc<Talk>,
    id: u64,
    _reservation: Option<Reservation>,
}

/// An answer's body under watch.
pub(crate) struct Offered {
    body: Body,
    /// What is left of a chunk that is larger than a piece.
    rest: Bytes,
    owed: Arc<Owed>,
    piece: usize,
}

/// Bytes that tell when they are written, or given up.
struct Piece {
    bytes: Bytes,
    owed: Arc<Owed>,
}

// === impl AnswerBudget ===

impl AnswerBudget {
    pub(crate) fn new(most: u64) -> Arc<Self> {
        Arc::new(Self { most, held: AtomicU64::new(0) })
    }

    /// Room for an answer of so many bytes, if there is any.
    pub(crate) fn reserve(self: &Arc<Self>, talk: &Arc<Talk>, bytes: u64) -> Option<Reservation> {
        let fits = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= self.most);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        talk.owes(bytes);
        Some(Reservation { budget: Arc::clone(self), talk: Arc::clone(talk), bytes })
    }

    /// How much has to be given back for others to find room: nothing while a quarter is free.
    pub(crate) fn excess(&self) -> u64 {
        self.held.load(Ordering::Relaxed).saturating_sub(self.most / 4 * 3)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
        self.talk.owes_less(self.bytes);
    }
}

// === impl Turn ===

impl Turn {
    fn starts(&self, now: u64) {
        if self.since.load(Ordering::Relaxed) == 0 {
            self.taken.store(0, Ordering::Relaxed);
            self.since.store(now + 1, Ordering::Relaxed);
        }
    }

    fn handed(&self, bytes: usize, now: u64) {
        self.is_dry.store(false, Ordering::Relaxed);
        self.out.fetch_add(bytes as u64, Ordering::Relaxed);
        self.starts(now);
    }

    fn written(&self, bytes: usize) {
        self.taken.fetch_add(bytes as u64, Ordering::Relaxed);
        let left = self.out.fetch_sub(bytes as u64, Ordering::Relaxed) - bytes as u64;
        if left == 0 && self.is_dry.load(Ordering::Relaxed) {
            self.since.store(0, Ordering::Relaxed);
        }
    }

    /// The protocol asked for more, and the function has nothing yet.
    fn dry(&self) {
        self.is_dry.store(true, Ordering::Relaxed);
        if self.out.load(Ordering::Relaxed) == 0 {
            self.since.store(0, Ordering::Relaxed);
        }
    }
}

// === impl Turns ===

impl Turns {
    /// The answer that has waited longest for its client: since when, by the connection's clock, and how many bytes of it
    /// were taken meanwhile.
    pub(crate) fn longest(&self) -> Option<(u64, u64)> {
        let turns = self.0.lock();
        let waiting = turns.values().filter_map(|turn| {
            let since = turn.since.load(Ordering::Relaxed).checked_sub(1)?;
            Some((since, turn.taken.load(Ordering::Relaxed)))
        });
        waiting.min_by_key(|(since, taken)| since + taken * 1_000 / crate::connections::SLOWEST_READER)
    }
}

// === impl Offered ===

impl Offered {
    /// An answer of an HTTP/2 connection, in pieces.
    pub(crate) fn in_pieces(body: Body, talk: Arc<Talk>, reservation: Option<Reservation>) -> Self {
        Self::new(body, talk, reservation, PIECE)
    }

    /// An answer of an HTTP/1.1 connection, as it is: only its memory is counted.
    pub(crate) fn whole(body: Body, talk: Arc<Talk>, reservation: Reservation) -> Self {
        Self::new(body, talk, Some(reservation), usize::MAX)
    }

    fn new(body: Body, talk: Arc<Talk>, reservation: Option<Reservation>, piece: usize) -> Self {
        talk.request_began();
        let (id, turn) = (talk.number(), Arc::new(Turn::default()));
        // Asked for at once where the client takes anything.
        turn.starts(talk.now());
        talk.turns().0.lock().insert(id, Arc::clone(&turn));
        let owed = Arc::new(Owed { turn, talk, id, _reservation: reservation });
        Self { body, rest: Bytes::new(), owed, piece }
    }

    fn hand(&mut self, mut chunk: Bytes) -> Frame<Bytes> {
        if chunk.len() > self.piece {
            self.rest = chunk.split_off(self.piece);
        }
        self.owed.turn.handed(chunk.len(), self.owed.talk.now());
        Frame::data(Bytes::from_owner(Piece { bytes: chunk, owed: Arc::clone(&self.owed) }))
    }
}

impl HttpBody for Offered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            return Poll::Ready(Some(Ok(self.hand(rest))));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => {
                self.owed.turn.dry();
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

// === impl Piece ===

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.owed.turn.written(self.bytes.len());
    }
}

// === impl Owed ===

impl Drop for Owed {
    fn drop(&mut self) {
        self.talk.turns().0.lock().remove(&self.id);
        self.talk.request_ended();
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn an_answer_waits_for_its_client_until_its_pieces_are_written() {
        let talk = Arc::new(Talk::new());
        let budget = AnswerBudget::new(100_000);
        let reservation = budget.reserve(&talk, 40_000);
        let mut offered = Offered::in_pieces(Body::from(vec![7; 40_000]), Arc::clone(&talk), reservation);
        assert!(talk.turns().longest().is_some(), "the client has its turn from the start");
        let mut pieces = Vec::new();
        while let Some(frame) = offered.frame().await {
            pieces.extend(frame.expect("a body in memory").into_data());
        }
        assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [PIECE, PIECE, 40_000 - 2 * PIECE]);
        drop(offered);
        pieces.remove(0);
        assert_eq!(talk.turns().longest().map(|(_, taken)| taken), Some(PIECE as u64));
        assert!(budget.reserve(&talk, 60_001).is_none(), "what is not written holds its memory");
        pieces.clear();
        assert_eq!(talk.turns().longest(), None);
        assert!(budget.reserve(&talk, 100_000).is_some());
    }

    #[tokio::test]
    async fn a_function_that_writes_slowly_is_no_slow_reader() {
        let talk = Arc::new(Talk::new());
        let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
        let chunks = futures_util::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|chunk| (Ok::<_, std::io::Error>(chunk), receiver))
        });
        let mut offered = Offered::in_pieces(Body::from_stream(chunks), Arc::clone(&talk), None);
        let waits = |talk: &Talk| talk.turns().longest().is_some();
        let poll = |offered: &mut Offered| {
            let mut context = Context::from_waker(std::task::Waker::noop());
            Pin::new(offered).poll_frame(&mut context)
        };
        assert!(poll(&mut offered).is_pending() && !waits(&talk), "the function has its turn");
        sender.send(Bytes::from_static(b"a")).await.expect("room");
        let piece = poll(&mut offered);
        assert!(piece.is_ready() && waits(&talk), "the client has its turn");
        assert!(poll(&mut offered).is_pending() && waits(&talk), "and keeps it while a piece is not written");
        drop(piece);
        assert!(!waits(&talk));
    }
}
