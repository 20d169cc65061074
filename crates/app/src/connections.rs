//! All connections: how many there may be, which one gives way, and which ones have waited for too long.
//!
//! A place is never refused to a client because of others who hold one and do nothing: of the connections without a
//! request under way, the least promising end first.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use faas_config::HttpSection;
use faas_types::limits;
use faas_web::{ConnectionEnd, ConnectionStats};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::answers::AnswerBudget;
use crate::talk::{Standing, Talk};

/// How often connections are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// One of so many connections goes when room is needed, so that a flood costs few looks at all of them.
const EVICTED_SHARE: usize = 64;
/// How long a new connection waits for the place that another one was asked to leave.
const ROOM_PATIENCE: Duration = Duration::from_millis(100);
/// How fast a client must take an answer once it has used up its patience, in bytes a second.
pub(crate) const SLOWEST_READER: u64 = 16 << 10;
/// How long an answer may wait while there is no room for others.
const PRESSED_PATIENCE: u64 = 1_000;

/// How long connections may wait for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) head: Duration,
    pub(crate) idle: Duration,
    pub(crate) send: Duration,
}

/// The connections of one server.
pub(crate) struct Connections {
    max: usize,
    patience: Patience,
    stats: Arc<ConnectionStats>,
    talks: Mutex<HashMap<u64, Arc<Talk>>>,
    next: AtomicU64,
    /// Those that were asked to make room and have not left yet.
    leaving: AtomicUsize,
    left: Notify,
    pub(crate) answers: Arc<AnswerBudget>,
}

/// A connection's place; given back when dropped.
pub(crate) struct Place {
    pub(crate) talk: Arc<Talk>,
    id: u64,
    pub(crate) house: Arc<Connections>,
}

// === impl Patience ===

impl Patience {
    pub(crate) fn new(config: &HttpSection) -> Self {
        Self { head: config.head_timeout.get(), idle: config.idle_timeout.get(), send: config.send_timeout.get() }
    }

    /// Why a connection has to end now.
    fn judge(self, standing: Standing) -> Option<ConnectionEnd> {
        let over = |since: u64, patience: Duration| Duration::from_millis(since) > patience;
        match standing {
            Standing::Idle { since, .. } if over(since, self.idle) => Some(ConnectionEnd::Idle),
            Standing::Head { since } if over(since, self.head) => Some(ConnectionEnd::SlowHead),
            Standing::Reader { since, taken }
                if over(since, self.send + Duration::from_secs(taken / SLOWEST_READER)) =>
            {
                Some(ConnectionEnd::SlowReader)
            }
            _ => None,
        }
    }
}

// === impl Connections ===

impl Connections {
    pub(crate) fn new(max: usize, patience: Patience, stats: Arc<ConnectionStats>) -> Arc<Self> {
        let (talks, next, left) = (Mutex::default(), AtomicU64::new(0), Notify::new());
        let answers = AnswerBudget::new(limits::ANSWERS_MAX);
        Arc::new(Self { max, patience, stats, talks, next, leaving: AtomicUsize::new(0), left, answers })
    }

    /// A place for a connection that was just accepted, or nothing when all others are busy.
    pub(crate) async fn admit(self: &Arc<Self>) -> Option<Place> {
        self.stats.opened();
        if let Some(place) = self.take() {
            return Some(place);
        }
        let until = tokio::time::Instant::now() + ROOM_PATIENCE;
        if !self.evict() {
            self.stats.ended(ConnectionEnd::Refused);
            return None;
        }
        loop {
            // Registered before the look, so that a place given back in between is noticed.
            let left = self.left.notified();
            if let Some(place) = self.take() {
                return Some(place);
            }
            if tokio::time::timeout_at(until, left).await.is_err() {
                self.stats.ended(ConnectionEnd::Refused);
                return None;
            }
        }
    }

    fn take(self: &Arc<Self>) -> Option<Place> {
        let mut talks = self.talks.lock();
        if talks.len() >= self.max {
            return None;
        }
        let (id, talk) = (self.next.fetch_add(1, Ordering::Relaxed), Arc::new(Talk::new()));
        talks.insert(id, Arc::clone(&talk));
        Some(Place { talk, id, house: Arc::clone(self) })
    }

    /// Asks some connections to leave, unless some are leaving already; returns whether any is.
    fn evict(&self) -> bool {
        if self.leaving.load(Ordering::Acquire) > 0 {
            return true;
        }
        let mut waiting: Vec<_> = {
            let talks = self.talks.lock();
            let staying = talks.values().filter(|talk| talk.verdict().is_none());
            staying.filter_map(|talk| Some((promise(talk.standing())?, Arc::clone(talk)))).collect()
        };
        let count = (self.max / EVICTED_SHARE).max(1).min(waiting.len());
        if count == 0 {
            return false;
        }
        waiting.select_nth_unstable_by_key(count - 1, |(promise, _)| *promise);
        for (_, talk) in &waiting[..count] {
            // Counted first: it may leave before the next line.
            self.leaving.fetch_add(1, Ordering::AcqRel);
            if !talk.end(ConnectionEnd::Evicted) {
                self.leaving.fetch_sub(1, Ordering::AcqRel);
            }
        }
        true
    }

    /// Ends connections that have waited for too long, until the server stops.
    pub(crate) async fn look_after(self: Arc<Self>, stop: CancellationToken) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => self.look(),
            }
        }
    }

    fn look(&self) {
        for talk in self.talks.lock().values() {
            if let Some(why) = self.patience.judge(talk.standing()) {
                talk.end(why);
            }
        }
        self.relieve();
    }

    /// Where answers leave no room for others, those that hold most and are not being read go.
    fn relieve(&self) {
        let mut excess = self.answers.excess();
        if excess == 0 {
            return;
        }
        let is_unread = |standing| matches!(standing, Standing::Reader { since, .. } if since >= PRESSED_PATIENCE);
        let mut unread: Vec<_> = {
            let talks = self.talks.lock();
            talks
                .values()
                .filter(|talk| is_unread(talk.standing()))
                .map(|talk| (talk.owed(), Arc::clone(talk)))
                .collect()
        };
        unread.sort_unstable_by_key(|(owed, _)| std::cmp::Reverse(*owed));
        for (owed, talk) in unread {
            if excess == 0 {
                return;
            }
            talk.end(ConnectionEnd::SlowReader);
            excess = excess.saturating_sub(owed);
        }
    }

    /// Waits until no connection is left.
    pub(crate) async fn all_left(&self) {
        loop {
            let left = self.left.notified();
            if self.talks.lock().is_empty() {
                return;
            }
            left.await;
        }
    }
}

/// How much a connection without a request promises, the least first: unfinished heads, then those that never sent a
/// request, then the others; among equals the one that has waited longest. Nothing for one that is busy.
fn promise(standing: Standing) -> Option<(u8, std::cmp::Reverse<u64>)> {
    let (class, since) = match standing {
        Standing::Head { since } => (0, since),
        Standing::Idle { since, fresh: true } => (1, since),
        Standing::Idle { since, fresh: false } => (2, since),
        Standing::Reader { .. } | Standing::Busy => return None,
    };
    Some((class, std::cmp::Reverse(since)))
}

// === impl Place ===

impl Place {
    /// Gives the place back and counts why.
    pub(crate) fn leave(self, why: ConnectionEnd) {
        // What it was asked to end for explains how it ended.
        self.talk.end(why);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.house.talks.lock().remove(&self.id);
        let why = self.talk.verdict().unwrap_or(ConnectionEnd::Broken);
        if why == ConnectionEnd::Evicted {
            self.house.leaving.fetch_sub(1, Ordering::AcqRel);
        }
        self.house.stats.ended(why);
        self.house.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn house(max: usize) -> Arc<Connections> {
        let second = Duration::from_secs(1);
        let patience = Patience { head: second, idle: 10 * second, send: 5 * second };
        Connections::new(max, patience, Arc::new(ConnectionStats::default()))
    }

    #[test]
    fn each_wait_has_its_own_patience() {
        let patience = house(1).patience;
        let judge = |standing| patience.judge(standing);
        assert_eq!(judge(Standing::Idle { since: 9_000, fresh: true }), None);
        assert_eq!(judge(Standing::Idle { since: 10_001, fresh: false }), Some(ConnectionEnd::Idle));
        assert_eq!(judge(Standing::Head { since: 1_001 }), Some(ConnectionEnd::SlowHead));
        assert_eq!(judge(Standing::Reader { since: 5_001, taken: 0 }), Some(ConnectionEnd::SlowReader));
        assert_eq!(judge(Standing::Reader { since: 7_000, taken: 3 * SLOWEST_READER }), None);
        assert_eq!(
            judge(Standing::Reader { since: 9_000, taken: 3 * SLOWEST_READER }),
            Some(ConnectionEnd::SlowReader)
        );
        assert_eq!(judge(Standing::Busy), None);
    }

    #[tokio::test]
    async fn the_least_promising_gives_way() {
        let house = house(3);
        let (busy, head, idle) = (
            house.admit().await.expect("room"),
            house.admit().await.expect("room"),
            house.admit().await.expect("room"),
        );
        busy.talk.request_began();
        head.talk.received();
        let leaving = tokio::spawn(async move {
            assert_eq!(head.talk.told().await, ConnectionEnd::Evicted);
            drop(head);
        });
        let newcomer = house.admit().await.expect("the unfinished head gave way");
        leaving.await.expect("it was asked");
        assert_eq!((busy.talk.verdict(), idle.talk.verdict()), (None, None));
        newcomer.talk.request_began();
        idle.talk.request_began();
        assert!(house.admit().await.is_none(), "nobody leaves in the middle of a request");
        assert_eq!(house.stats.ended_for(ConnectionEnd::Refused), 1);
        drop((busy, idle, newcomer));
        house.all_left().await;
        assert_eq!(house.stats.open(), 0);
    }
}
