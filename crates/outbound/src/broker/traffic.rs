//! What one instance has done with its network, counted for its function.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use faas_ports::NetworkCounters;
use parking_lot::Mutex;

/// What one instance has done. It may outlive the instance: the last word about its bytes comes after it.
#[derive(Debug)]
pub(super) struct Traffic {
    counters: Arc<NetworkCounters>,
    open: AtomicU32,
    /// Bytes that the present process says it has carried: sent and received.
    carried: Mutex<(u64, u64)>,
}

// === impl Traffic ===

impl Traffic {
    pub(super) fn new(counters: Arc<NetworkCounters>) -> Self {
        Self { counters, open: AtomicU32::new(0), carried: Mutex::default() }
    }

    pub(super) fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.counters.opened();
    }

    pub(super) fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.counters.closed();
    }

    pub(super) fn denied(&self) {
        self.counters.denied();
    }

    /// What the process says that it has carried so far. It may not take anything back.
    pub(super) fn carried(&self, sent: u64, received: u64) {
        let mut carried = self.carried.lock();
        let more = (sent.saturating_sub(carried.0), received.saturating_sub(carried.1));
        *carried = (carried.0 + more.0, carried.1 + more.1);
        self.counters.carried(more.0, more.1);
    }

    /// Another process begins to count. Whether connections were open with the one before.
    pub(super) fn begin_anew(&self) -> bool {
        *self.carried.lock() = (0, 0);
        self.open.load(Ordering::Relaxed) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_add_up_over_processes() {
        let counters = Arc::new(NetworkCounters::default());
        let traffic = Traffic::new(Arc::clone(&counters));
        traffic.opened();
        traffic.carried(10, 20);
        traffic.carried(10, 25);
        traffic.carried(3, 3);
        assert!(traffic.begin_anew());
        traffic.carried(1, 1);
        traffic.closed();
        assert!(!traffic.begin_anew());
        let usage = counters.usage();
        assert_eq!((usage.sent, usage.received, usage.open, usage.connections), (11, 26, 0, 1));
    }
}
