//! One mutex for each key, for work that must not run twice at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

/// Mutexes by key. A mutex exists only while a task holds it or waits for it.
#[derive(Debug)]
pub struct KeyedLock<K> {
    locks: Mutex<HashMap<K, Weak<tokio::sync::Mutex<()>>>>,
}

// === impl KeyedLock ===

impl<K> Default for KeyedLock<K> {
    fn default() -> Self {
        Self { locks: Mutex::default() }
    }
}

impl<K: Clone + Eq + Hash> KeyedLock<K> {
    /// Waits until no other task holds this key.
    pub async fn lock(&self, key: &K) -> OwnedMutexGuard<()> {
        self.of(key).lock_owned().await
    }

    /// Takes the key if it is free.
    pub fn try_lock(&self, key: &K) -> Option<OwnedMutexGuard<()>> {
        self.of(key).try_lock_owned().ok()
    }

    fn of(&self, key: &K) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock();
        locks.retain(|_, lock| lock.strong_count() > 0);
        locks.get(key).and_then(Weak::upgrade).unwrap_or_else(|| {
            let lock = Arc::default();
            locks.insert(key.clone(), Arc::downgrade(&lock));
            lock
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_holds_a_key_and_others_wait() {
        let locks = Arc::new(KeyedLock::<u8>::default());
        let held = locks.lock(&1).await;
        assert!(locks.try_lock(&1).is_none());
        assert!(locks.try_lock(&2).is_some(), "another key is free");
        let waiting = tokio::spawn({
            let locks = Arc::clone(&locks);
            async move { drop(locks.lock(&1).await) }
        });
        while locks.locks.lock().get(&1).is_none_or(|lock| lock.strong_count() < 2) {
            tokio::task::yield_now().await;
        }
        assert!(!waiting.is_finished());
        drop(held);
        waiting.await.expect("it gets the key");
    }

    #[tokio::test]
    async fn keys_that_nobody_holds_are_forgotten() {
        let locks = KeyedLock::<u8>::default();
        for key in 0..100 {
            drop(locks.lock(&key).await);
        }
        let _held = locks.lock(&200).await;
        assert_eq!(locks.locks.lock().len(), 1);
    }
}
