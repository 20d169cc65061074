//! The state of one connection: what it waits for and since when. The connection writes it with plain atomics; the
//! connection table reads it to find connections that wait too long.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use faas_web::ConnectionEnd;
use tokio::sync::Notify;

use crate::write_progress::PendingWrites;

/// One connection's state.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    began: Instant,
    /// Requests under way, up to the end of their responses.
    active: AtomicU32,
    /// Requests ever.
    served: AtomicBool,
    is_http2: AtomicBool,
    /// Milliseconds after `began` since when it has had no request; the lowest bit tells whether bytes of one have come.
    waiting: AtomicU64,
    /// Milliseconds after `began`, plus one, since when a response waits for the client; 0 when none does.
    blocked: AtomicU64,
    /// Bytes that the client has taken, and how many they were when `blocked` was set.
    taken: AtomicU64,
    taken_before: AtomicU64,
    /// Bytes of responses that it holds in memory.
    response_bytes: AtomicU64,
    /// Responses of HTTP/2 that are under way.
    pending_writes: PendingWrites,
    responses: AtomicU64,
    end_reason: OnceLock<ConnectionEnd>,
    end_requested: Notify,
}

/// What a connection waits for, and for how many milliseconds it has waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionPhase {
    /// A request; none has come before where `fresh`.
    Idle { since: u64, fresh: bool },
    /// The rest of a request's head.
    Head { since: u64 },
    /// The client, which has taken `taken` bytes of a response meanwhile.
    Reader { since: u64, taken: u64 },
    /// The function, or the rest of a request's body.
    Busy,
}

// === impl ConnectionState ===

impl ConnectionState {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            active: AtomicU32::new(0),
            served: AtomicBool::new(false),
            is_http2: AtomicBool::new(false),
            waiting: AtomicU64::new(0),
            blocked: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            taken_before: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
            pending_writes: PendingWrites::default(),
            responses: AtomicU64::new(0),
            end_reason: OnceLock::new(),
            end_requested: Notify::new(),
        }
    }

    /// Milliseconds since it began.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX >> 1)
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.is_http2.load(Ordering::Relaxed)
    }

    pub(crate) fn pending_writes(&self) -> &PendingWrites {
        &self.pending_writes
    }

    /// A fresh number for a response.
    pub(crate) fn next_response(&self) -> u64 {
        self.responses.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn hold_response_bytes(&self, bytes: u64) {
        self.response_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn release_response_bytes(&self, bytes: u64) {
        self.response_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes of responses that it holds in memory.
    pub(crate) fn response_bytes(&self) -> u64 {
        self.response_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn set_http2(&self) {
        self.is_http2.store(true, Ordering::Relaxed);
    }

    /// A request's head is whole.
    pub(crate) fn request_began(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
        self.served.store(true, Ordering::Relaxed);
    }

    /// A request's response is handed over.
    pub(crate) fn request_ended(&self) {
        self.waiting.store(self.now() << 1, Ordering::Relaxed);
        self.active.fetch_sub(1, Ordering::Release);
    }

    /// Whether a request is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.active.load(Ordering::Acquire) > 0
    }

    /// Bytes came from the client. HTTP/2 keeps its own order among frames, and sends some without any request.
    pub(crate) fn received(&self) {
        if self.active.load(Ordering::Relaxed) == 0
            && self.waiting.load(Ordering::Relaxed) & 1 == 0
            && !self.is_http2.load(Ordering::Relaxed)
        {
            self.waiting.store(self.now() << 1 | 1, Ordering::Relaxed);
        }
    }

    /// The client took bytes.
    pub(crate) fn sent(&self, count: usize) {
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// The client takes no more for now.
    pub(crate) fn send_blocked(&self) {
        if self.blocked.load(Ordering::Relaxed) == 0 {
            self.taken_before.store(self.taken.load(Ordering::Relaxed), Ordering::Relaxed);
            self.blocked.store(self.now() + 1, Ordering::Relaxed);
        }
    }

    /// Everything is with the client or on its way.
    pub(crate) fn send_caught_up(&self) {
        if self.blocked.load(Ordering::Relaxed) != 0 {
            self.blocked.store(0, Ordering::Relaxed);
            self.waiting.store(self.now() << 1, Ordering::Relaxed);
        }
    }

    pub(crate) fn phase(&self) -> ConnectionPhase {
        let now = self.now();
        let blocked = self.blocked.load(Ordering::Relaxed);
        if blocked != 0 {
            let taken = self.taken.load(Ordering::Relaxed) - self.taken_before.load(Ordering::Relaxed);
            return ConnectionPhase::Reader { since: now.saturating_sub(blocked - 1), taken };
        }
        if self.is_http2()
            && let Some((since, taken)) = self.pending_writes.longest()
        {
            return ConnectionPhase::Reader { since: now.saturating_sub(since), taken };
        }
        if self.is_busy() {
            return ConnectionPhase::Busy;
        }
        let waiting = self.waiting.load(Ordering::Relaxed);
        let since = now.saturating_sub(waiting >> 1);
        if waiting & 1 == 1 {
            ConnectionPhase::Head { since }
        } else {
            ConnectionPhase::Idle { since, fresh: !self.served.load(Ordering::Relaxed) }
        }
    }

    /// Asks the connection to end. The first reason counts; returns whether this is it.
    pub(crate) fn end(&self, why: ConnectionEnd) -> bool {
        let is_first = self.end_reason.set(why).is_ok();
        self.end_requested.notify_one();
        is_first
    }

    pub(crate) fn end_reason(&self) -> Option<ConnectionEnd> {
        self.end_reason.get().copied()
    }

    /// Waits until the connection is asked to end. For one waiter.
    pub(crate) async fn end_requested(&self) -> ConnectionEnd {
        loop {
            if let Some(why) = self.end_reason() {
                return why;
            }
            self.end_requested.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_passes_through_its_phases() {
        let state = ConnectionState::new();
        assert!(matches!(state.phase(), ConnectionPhase::Idle { fresh: true, .. }));
        state.received();
        assert!(matches!(state.phase(), ConnectionPhase::Head { .. }));
        state.request_began();
        state.received();
        assert_eq!(state.phase(), ConnectionPhase::Busy);
        state.request_ended();
        assert!(matches!(state.phase(), ConnectionPhase::Idle { fresh: false, .. }));
        state.sent(10);
        state.send_blocked();
        state.sent(5);
        assert!(matches!(state.phase(), ConnectionPhase::Reader { taken: 5, .. }));
        state.send_caught_up();
        assert!(matches!(state.phase(), ConnectionPhase::Idle { .. }));
    }

    #[test]
    fn frames_of_http2_are_no_heads() {
        let state = ConnectionState::new();
        state.set_http2();
        state.received();
        assert!(matches!(state.phase(), ConnectionPhase::Idle { .. }));
    }

    #[tokio::test]
    async fn the_first_reason_counts() {
        let state = ConnectionState::new();
        state.end(ConnectionEnd::Idle);
        state.end(ConnectionEnd::Evicted);
        assert_eq!(state.end_requested().await, ConnectionEnd::Idle);
    }
}
