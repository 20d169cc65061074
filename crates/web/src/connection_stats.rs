//! Counts of the server's connections, written where they are kept and read where metrics are published.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why the server ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// The client did, or both had nothing more to say.
    Client,
    /// It stayed without a request for too long.
    Idle,
    /// A request's head did not arrive in time.
    SlowHead,
    /// An answer was not taken in time.
    SlowReader,
    /// It was waiting and another connection needed its place.
    Evicted,
    /// No place could be made for it.
    Refused,
    /// It sent more frames of HTTP/2 than its requests and answers need.
    Flood,
    /// What came was no HTTP, or broke off.
    Broken,
    /// The server is stopping.
    Stopping,
}

/// Counters that every connection shares.
#[derive(Debug, Default)]
pub struct ConnectionStats {
    open: AtomicU64,
    accepted: AtomicU64,
    ended: [AtomicU64; ConnectionEnd::ALL.len()],
}

// === impl ConnectionEnd ===

impl ConnectionEnd {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::Client,
        Self::Idle,
        Self::SlowHead,
        Self::SlowReader,
        Self::Evicted,
        Self::Refused,
        Self::Flood,
        Self::Broken,
        Self::Stopping,
    ];

    /// Its name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Idle => "idle",
            Self::SlowHead => "slow_head",
            Self::SlowReader => "slow_reader",
            Self::Evicted => "evicted",
            Self::Refused => "refused",
            Self::Flood => "flood",
            Self::Broken => "broken",
            Self::Stopping => "stopping",
        }
    }
}

// === impl ConnectionStats ===

impl ConnectionStats {
    /// A connection was accepted.
    pub fn opened(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection is gone.
    pub fn ended(&self, why: ConnectionEnd) {
        self.ended[why as usize].fetch_add(1, Ordering::Relaxed);
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Connections now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections since the start.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections that ended for one reason.
    #[must_use]
    pub fn ended_for(&self, why: ConnectionEnd) -> u64 {
        self.ended[why as usize].load(Ordering::Relaxed)
    }
}
