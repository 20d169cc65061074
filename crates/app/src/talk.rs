//! One connection as the house sees it: what it waits for and since when. Written by the connection with plain atomics,
//! read by whoever looks for connections that wait too long.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use faas_web::ConnectionEnd;
use tokio::sync::Notify;

use crate::answers::Turns;

/// One connection's state.
#[derive(Debug)]
pub(crate) struct Talk {
    began: Instant,
    /// Requests under way, up to the end of their answers.
    active: AtomicU32,
    /// Requests ever.
    served: AtomicBool,
    is_http2: AtomicBool,
    /// Milliseconds after `began` since when it has had no request; the lowest bit tells whether bytes of one have come.
    waiting: AtomicU64,
    /// Milliseconds after `began`, plus one, since when an answer waits for the client; 0 when none does.
    blocked: AtomicU64,
    /// Bytes that the client has taken, and how many they were when `blocked` was set.
    taken: AtomicU64,
    taken_before: AtomicU64,
    /// Bytes of answers that it holds in memory.
    owed: AtomicU64,
    /// Answers of HTTP/2 that are under way.
    turns: Turns,
    answers: AtomicU64,
    verdict: OnceLock<ConnectionEnd>,
    told: Notify,
}

/// What a connection waits for, and for how many milliseconds it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A request; none has come before where `fresh`.
    Idle { since: u64, fresh: bool },
    /// The rest of a request's head.
    Head { since: u64 },
    /// The client, which has taken so many bytes of an answer meanwhile.
    Reader { since: u64, taken: u64 },
    /// The function, or the rest of a request's body.
    Busy,
}

// === impl Talk ===

impl Talk {
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
            owed: AtomicU64::new(0),
            turns: Turns::default(),
            answers: AtomicU64::new(0),
            verdict: OnceLock::new(),
            told: Notify::new(),
        }
    }

    /// Milliseconds since it began.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX >> 1)
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.is_http2.load(Ordering::Relaxed)
    }

    pub(crate) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// Another number for each answer.
    pub(crate) fn number(&self) -> u64 {
        self.answers.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn owes(&self, bytes: u64) {
        self.owed.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn owes_less(&self, bytes: u64) {
        self.owed.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes of answers that it holds in memory.
    pub(crate) fn owed(&self) -> u64 {
        self.owed.load(Ordering::Relaxed)
    }

    pub(crate) fn set_http2(&self) {
        self.is_http2.store(true, Ordering::Relaxed);
    }

    /// A request's head is whole.
    pub(crate) fn request_began(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
        self.served.store(true, Ordering::Relaxed);
    }

    /// A request's answer is handed over.
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

    pub(crate) fn standing(&self) -> Standing {
        let now = self.now();
        let blocked = self.blocked.load(Ordering::Relaxed);
        if blocked != 0 {
            let taken = self.taken.load(Ordering::Relaxed) - self.taken_before.load(Ordering::Relaxed);
            return Standing::Reader { since: now.saturating_sub(blocked - 1), taken };
        }
        if self.is_http2()
            && let Some((since, taken)) = self.turns.longest()
        {
            return Standing::Reader { since: now.saturating_sub(since), taken };
        }
        if self.is_busy() {
            return Standing::Busy;
        }
        let waiting = self.waiting.load(Ordering::Relaxed);
        let since = now.saturating_sub(waiting >> 1);
        if waiting & 1 == 1 {
            Standing::Head { since }
        } else {
            Standing::Idle { since, fresh: !self.served.load(Ordering::Relaxed) }
        }
    }

    /// Asks the connection to end. The first reason stands; returns whether this one is it.
    pub(crate) fn end(&self, why: ConnectionEnd) -> bool {
        let is_first = self.verdict.set(why).is_ok();
        self.told.notify_one();
        is_first
    }

    pub(crate) fn verdict(&self) -> Option<ConnectionEnd> {
        self.verdict.get().copied()
    }

    /// Waits until somebody asks it to end. For one waiter.
    pub(crate) async fn told(&self) -> ConnectionEnd {
        loop {
            if let Some(why) = self.verdict() {
                return why;
            }
            self.told.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_goes_round() {
        let talk = Talk::new();
        assert!(matches!(talk.standing(), Standing::Idle { fresh: true, .. }));
        talk.received();
        assert!(matches!(talk.standing(), Standing::Head { .. }));
        talk.request_began();
        talk.received();
        assert_eq!(talk.standing(), Standing::Busy);
        talk.request_ended();
        assert!(matches!(talk.standing(), Standing::Idle { fresh: false, .. }));
        talk.sent(10);
        talk.send_blocked();
        talk.sent(5);
        assert!(matches!(talk.standing(), Standing::Reader { taken: 5, .. }));
        talk.send_caught_up();
        assert!(matches!(talk.standing(), Standing::Idle { .. }));
    }

    #[test]
    fn frames_of_http2_are_no_heads() {
        let talk = Talk::new();
        talk.set_http2();
        talk.received();
        assert!(matches!(talk.standing(), Standing::Idle { .. }));
    }

    #[tokio::test]
    async fn the_first_verdict_stands() {
        let talk = Talk::new();
        talk.end(ConnectionEnd::Idle);
        talk.end(ConnectionEnd::Evicted);
        assert_eq!(talk.told().await, ConnectionEnd::Idle);
    }
}
