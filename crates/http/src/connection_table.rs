//! All connections: how many there may be, which one gives way, and which ones have waited for too long.
//!
//! A client is never refused because of idle connections: of the connections without a request under way, those with the
//! lowest eviction rank are closed first.

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

use crate::connection_state::{ConnectionPhase, ConnectionState};
use crate::response_body::ResponseBudget;
use crate::write_progress::SLOWEST_READER;

/// How often connections are looked at.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// One in this many connections is evicted at once, so that a flood causes few scans of the table.
const EVICTED_SHARE: usize = 64;
/// How long a new connection waits for the permit of one that was asked to end.
const EVICTION_TIMEOUT: Duration = Duration::from_millis(100);
/// Milliseconds that a response may wait while the response budget is short.
const PRESSED_TIMEOUT: u64 = 1_000;

/// How long a connection may wait in each phase.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionTimeouts {
    pub(crate) head: Duration,
    pub(crate) idle: Duration,
    pub(crate) send: Duration,
}

/// The connections of one server.
pub(crate) struct ConnectionTable {
    max: usize,
    timeouts: ConnectionTimeouts,
    stats: Arc<ConnectionStats>,
    open: Mutex<HashMap<u64, Arc<ConnectionState>>>,
    next: AtomicU64,
    /// Connections that were asked to end for others and have not left yet.
    evicting: AtomicUsize,
    left: Notify,
    pub(crate) responses: Arc<ResponseBudget>,
}

/// The right of one connection to be open; given back when dropped.
pub(crate) struct ConnectionPermit {
    pub(crate) state: Arc<ConnectionState>,
    id: u64,
    pub(crate) table: Arc<ConnectionTable>,
}

// === impl ConnectionTimeouts ===

impl ConnectionTimeouts {
    pub(crate) fn new(config: &HttpSection) -> Self {
        Self { head: config.head_timeout.get(), idle: config.idle_timeout.get(), send: config.send_timeout.get() }
    }

    /// Why a connection has to end now.
    fn expired(self, phase: ConnectionPhase) -> Option<ConnectionEnd> {
        let over = |since: u64, timeout: Duration| Duration::from_millis(since) > timeout;
        match phase {
            ConnectionPhase::Idle { since, .. } if over(since, self.idle) => Some(ConnectionEnd::Idle),
            ConnectionPhase::Head { since } if over(since, self.head) => Some(ConnectionEnd::SlowHead),
            ConnectionPhase::Reader { since, taken }
                if over(since, self.send + Duration::from_secs(taken / SLOWEST_READER)) =>
            {
                Some(ConnectionEnd::SlowReader)
            }
            _ => None,
        }
    }
}

// === impl ConnectionTable ===

impl ConnectionTable {
    pub(crate) fn new(max: usize, timeouts: ConnectionTimeouts, stats: Arc<ConnectionStats>) -> Arc<Self> {
        let (open, next, left) = (Mutex::default(), AtomicU64::new(0), Notify::new());
        let responses = ResponseBudget::new(limits::ANSWERS_MAX);
        Arc::new(Self { max, timeouts, stats, open, next, evicting: AtomicUsize::new(0), left, responses })
    }

    /// A permit for a connection that was just accepted; `None` when all others are busy.
    pub(crate) async fn admit(self: &Arc<Self>) -> Option<ConnectionPermit> {
        self.stats.opened();
        if let Some(permit) = self.take() {
            return Some(permit);
        }
        let until = tokio::time::Instant::now() + EVICTION_TIMEOUT;
        if !self.evict() {
            self.stats.ended(ConnectionEnd::Refused);
            return None;
        }
        loop {
            // Registered before the look, so that a permit given back in between is noticed.
            let left = self.left.notified();
            if let Some(permit) = self.take() {
                return Some(permit);
            }
            if tokio::time::timeout_at(until, left).await.is_err() {
                self.stats.ended(ConnectionEnd::Refused);
                return None;
            }
        }
    }

    fn take(self: &Arc<Self>) -> Option<ConnectionPermit> {
        let mut open = self.open.lock();
        if open.len() >= self.max {
            return None;
        }
        let (id, state) = (self.next.fetch_add(1, Ordering::Relaxed), Arc::new(ConnectionState::new()));
        open.insert(id, Arc::clone(&state));
        Some(ConnectionPermit { state, id, table: Arc::clone(self) })
    }

    /// Asks some connections to end, unless some are ending already; returns whether any is.
    fn evict(&self) -> bool {
        if self.evicting.load(Ordering::Acquire) > 0 {
            return true;
        }
        let mut waiting: Vec<_> = {
            let open = self.open.lock();
            let staying = open.values().filter(|state| state.end_reason().is_none());
            staying.filter_map(|state| Some((eviction_rank(state.phase())?, Arc::clone(state)))).collect()
        };
        let count = (self.max / EVICTED_SHARE).max(1).min(waiting.len());
        if count == 0 {
            return false;
        }
        waiting.select_nth_unstable_by_key(count - 1, |(rank, _)| *rank);
        for (_, state) in &waiting[..count] {
            // Counted first: it may leave before the next line.
            self.evicting.fetch_add(1, Ordering::AcqRel);
            if !state.end(ConnectionEnd::Evicted) {
                self.evicting.fetch_sub(1, Ordering::AcqRel);
            }
        }
        true
    }

    /// Ends connections that have waited for too long, until the server stops.
    pub(crate) async fn enforce_timeouts(self: Arc<Self>, stop: CancellationToken) {
        let mut tick = tokio::time::interval(CHECK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => self.check(),
            }
        }
    }

    fn check(&self) {
        for state in self.open.lock().values() {
            if let Some(why) = self.timeouts.expired(state.phase()) {
                state.end(why);
            }
        }
        self.shed_slow_readers();
    }

    /// When the response budget is short, ends the connections that hold most of it and do not read.
    fn shed_slow_readers(&self) {
        let mut excess = self.responses.excess();
        if excess == 0 {
            return;
        }
        let is_unread = |phase| matches!(phase, ConnectionPhase::Reader { since, .. } if since >= PRESSED_TIMEOUT);
        let mut unread: Vec<_> = {
            let open = self.open.lock();
            open.values()
                .filter(|state| is_unread(state.phase()))
                .map(|state| (state.response_bytes(), Arc::clone(state)))
                .collect()
        };
        unread.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        for (bytes, state) in unread {
            if excess == 0 {
                return;
            }
            state.end(ConnectionEnd::SlowReader);
            excess = excess.saturating_sub(bytes);
        }
    }

    /// Waits until no connection is left.
    pub(crate) async fn all_closed(&self) {
        loop {
            let left = self.left.notified();
            if self.open.lock().is_empty() {
                return;
            }
            left.await;
        }
    }
}

/// Which connection without a request is evicted first: unfinished heads, then connections that never sent a request, then the
/// others; among equals the one that has waited longest. `None` for a busy connection.
fn eviction_rank(phase: ConnectionPhase) -> Option<(u8, std::cmp::Reverse<u64>)> {
    let (class, since) = match phase {
        ConnectionPhase::Head { since } => (0, since),
        ConnectionPhase::Idle { since, fresh: true } => (1, since),
        ConnectionPhase::Idle { since, fresh: false } => (2, since),
        ConnectionPhase::Reader { .. } | ConnectionPhase::Busy => return None,
    };
    Some((class, std::cmp::Reverse(since)))
}

// === impl ConnectionPermit ===

impl ConnectionPermit {
    /// Gives the permit back and counts the reason.
    pub(crate) fn close(self, why: ConnectionEnd) {
        // A reason that it was asked to end for comes first.
        self.state.end(why);
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.table.open.lock().remove(&self.id);
        let why = self.state.end_reason().unwrap_or(ConnectionEnd::Broken);
        if why == ConnectionEnd::Evicted {
            self.table.evicting.fetch_sub(1, Ordering::AcqRel);
        }
        self.table.stats.ended(why);
        self.table.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(max: usize) -> Arc<ConnectionTable> {
        let second = Duration::from_secs(1);
        let timeouts = ConnectionTimeouts { head: second, idle: 10 * second, send: 5 * second };
        ConnectionTable::new(max, timeouts, Arc::new(ConnectionStats::default()))
    }

    #[test]
    fn each_phase_has_its_own_timeout() {
        let timeouts = table(1).timeouts;
        let expired = |phase| timeouts.expired(phase);
        assert_eq!(expired(ConnectionPhase::Idle { since: 9_000, fresh: true }), None);
        assert_eq!(expired(ConnectionPhase::Idle { since: 10_001, fresh: false }), Some(ConnectionEnd::Idle));
        assert_eq!(expired(ConnectionPhase::Head { since: 1_001 }), Some(ConnectionEnd::SlowHead));
        assert_eq!(expired(ConnectionPhase::Reader { since: 5_001, taken: 0 }), Some(ConnectionEnd::SlowReader));
        assert_eq!(expired(ConnectionPhase::Reader { since: 7_000, taken: 3 * SLOWEST_READER }), None);
        assert_eq!(
            expired(ConnectionPhase::Reader { since: 9_000, taken: 3 * SLOWEST_READER }),
            Some(ConnectionEnd::SlowReader)
        );
        assert_eq!(expired(ConnectionPhase::Busy), None);
    }

    #[tokio::test]
    async fn the_lowest_rank_is_evicted_first() {
        let table = table(3);
        let (busy, head, idle) = (
            table.admit().await.expect("room"),
            table.admit().await.expect("room"),
            table.admit().await.expect("room"),
        );
        busy.state.request_began();
        head.state.received();
        let leaving = tokio::spawn(async move {
            assert_eq!(head.state.end_requested().await, ConnectionEnd::Evicted);
            drop(head);
        });
        let newcomer = table.admit().await.expect("the unfinished head gave way");
        leaving.await.expect("it was asked");
        assert_eq!((busy.state.end_reason(), idle.state.end_reason()), (None, None));
        newcomer.state.request_began();
        idle.state.request_began();
        assert!(table.admit().await.is_none(), "nobody leaves in the middle of a request");
        assert_eq!(table.stats.ended_for(ConnectionEnd::Refused), 1);
        drop((busy, idle, newcomer));
        table.all_closed().await;
        assert_eq!(table.stats.open(), 0);
    }
}
