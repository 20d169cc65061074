//! What functions have done with their networks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a function has done with its network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkUsage {
    /// Connections made.
    pub connections: u64,
    /// Connections that are open.
    pub open: u64,
    /// Attempts that were refused by rules.
    pub denied: u64,
    /// Bytes sent by the sandbox.
    pub sent: u64,
    /// Bytes received by the sandbox.
    pub received: u64,
}

/// Counters that the network of instances writes, without a lock.
#[derive(Debug, Default)]
pub struct NetworkCounters {
    connections: AtomicU64,
    open: AtomicU64,
    denied: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    /// Counts everything as well.
    whole: Option<Arc<NetworkCounters>>,
}

// === impl NetworkCounters ===

impl NetworkCounters {
    /// Counters of a part: the counters of the whole count with them.
    #[must_use]
    pub fn within(whole: Arc<Self>) -> Self {
        Self { whole: Some(whole), ..Self::default() }
    }

    /// A connection stands.
    pub fn opened(&self) {
        self.each(|one| {
            one.connections.fetch_add(1, Ordering::Relaxed);
            one.open.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// A connection that stood has ended.
    pub fn closed(&self) {
        self.each(|one| {
            one.open.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// A rule has refused an attempt.
    pub fn denied(&self) {
        self.each(|one| {
            one.denied.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// Further bytes were carried.
    pub fn carried(&self, sent: u64, received: u64) {
        self.each(|one| {
            one.sent.fetch_add(sent, Ordering::Relaxed);
            one.received.fetch_add(received, Ordering::Relaxed);
        });
    }

    /// What was counted so far.
    #[must_use]
    pub fn usage(&self) -> NetworkUsage {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        NetworkUsage {
            connections: read(&self.connections),
            open: read(&self.open),
            denied: read(&self.denied),
            sent: read(&self.sent),
            received: read(&self.received),
        }
    }

    fn each(&self, count: impl Fn(&Self)) {
        count(self);
        if let Some(whole) = &self.whole {
            count(whole);
        }
    }
}

// === impl NetworkUsage ===

impl NetworkUsage {
    /// Whether there was no attempt at all.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_counts_what_its_parts_count() {
        let whole = Arc::new(NetworkCounters::default());
        let parts = [(); 2].map(|()| NetworkCounters::within(Arc::clone(&whole)));
        for part in &parts {
            part.opened();
            part.carried(3, 5);
        }
        parts[0].closed();
        parts[1].denied();
        assert_eq!(parts[0].usage(), NetworkUsage { connections: 1, sent: 3, received: 5, ..NetworkUsage::default() });
        assert_eq!(whole.usage(), NetworkUsage { connections: 2, open: 1, denied: 1, sent: 6, received: 10 });
        assert!(!whole.usage().is_none() && NetworkUsage::default().is_none());
    }
}
