//! One run for many requests with the same key.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

type Table<K> = Mutex<HashMap<K, Arc<Notify>>>;

/// Runs under way, by the key that they will answer.
pub(super) struct SingleFlight<K>(Arc<Table<K>>);

/// The part of a request among those with the same key.
pub(super) enum FlightRole<K: Hash + Eq> {
    /// The first: run, and drop the guard when the response is stored or known to be uncacheable.
    Leader(FlightGuard<K>),
    /// Another one is under way: wait, and look again.
    Follower(OwnedNotified),
}

/// A run under way; ends when dropped.
pub(super) struct FlightGuard<K: Hash + Eq> {
    key: K,
    table: Arc<Table<K>>,
}

// === impl SingleFlight ===

impl<K: Hash + Eq + Clone> SingleFlight<K> {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    pub(super) fn join(&self, key: &K) -> FlightRole<K> {
        let mut table = self.0.lock();
        if let Some(landed) = table.get(key) {
            // Made under the lock, so that a flight which ends now wakes it.
            return FlightRole::Follower(Arc::clone(landed).notified_owned());
        }
        table.insert(key.clone(), Arc::default());
        FlightRole::Leader(FlightGuard { key: key.clone(), table: Arc::clone(&self.0) })
    }
}

// === impl FlightGuard ===

impl<K: Hash + Eq> Drop for FlightGuard<K> {
    fn drop(&mut self) {
        if let Some(landed) = self.table.lock().remove(&self.key) {
            landed.notify_waiters();
        }
    }
}
