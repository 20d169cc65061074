//! One run for many who ask the same at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

type Table<K> = Mutex<HashMap<K, Arc<Notify>>>;

/// Runs under way, by what they will answer.
pub(super) struct Flights<K>(Arc<Table<K>>);

/// Whether somebody asks the same already.
pub(super) enum Turn<K: Hash + Eq> {
    /// Nobody does: run, and drop this when the answer is kept or is known not to be.
    First(Flight<K>),
    /// Somebody does: wait, and look again.
    Later(OwnedNotified),
}

/// A run under way; ends when dropped.
pub(super) struct Flight<K: Hash + Eq> {
    key: K,
    table: Arc<Table<K>>,
}

// === impl Flights ===

impl<K: Hash + Eq + Clone> Flights<K> {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    pub(super) fn join(&self, key: &K) -> Turn<K> {
        let mut table = self.0.lock();
        if let Some(landed) = table.get(key) {
            // Made under the lock, so that a flight which ends now wakes it.
            return Turn::Later(Arc::clone(landed).notified_owned());
        }
        table.insert(key.clone(), Arc::default());
        Turn::First(Flight { key: key.clone(), table: Arc::clone(&self.0) })
    }
}

// === impl Flight ===

impl<K: Hash + Eq> Drop for Flight<K> {
    fn drop(&mut self) {
        if let Some(landed) = self.table.lock().remove(&self.key) {
            landed.notify_waiters();
        }
    }
}
