//! A registry in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use faas_ports::{Change, Collection, Entry, Expect, Key, PortError, PortResult, Registry, Watch, Write};
use faas_types::ProjectId;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Entries in a map.
#[derive(Debug)]
pub struct MemoryRegistry {
    state: Mutex<State>,
    news: broadcast::Sender<Change>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<Key, (Bytes, u64)>,
    revision: u64,
}

// === impl MemoryRegistry ===

impl MemoryRegistry {
    /// An empty registry whose watchers may lag `lag` changes of all collections behind.
    #[must_use]
    pub fn new(lag: usize) -> Self {
        Self { state: Mutex::default(), news: broadcast::Sender::new(lag.max(1)) }
    }
}

impl Default for MemoryRegistry {
    fn default() -> Self {
        Self::new(4096)
    }
}

#[async_trait]
impl Registry for MemoryRegistry {
    async fn get(&self, key: &Key) -> PortResult<Option<Entry>> {
        let state = self.state.lock();
        let found = state.entries.get(key);
        Ok(found.map(|(value, revision)| Entry { key: key.clone(), value: value.clone(), revision: *revision }))
    }

    async fn list(
        &self,
        project: ProjectId,
        collection: Collection,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> PortResult<Vec<Entry>> {
        let after = after.unwrap_or_default();
        let mut entries = self.state.lock().of(collection);
        entries.retain(|Entry { key, .. }| {
            key.project == project && key.name.starts_with(prefix) && key.name.as_str() > after
        });
        entries.truncate(limit as usize);
        Ok(entries)
    }

    async fn scan(&self, collection: Collection, after: Option<&Key>, limit: u32) -> PortResult<Vec<Entry>> {
        let mut entries = self.state.lock().of(collection);
        entries.retain(|entry| after.is_none_or(|after| entry.key > *after));
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        entries.truncate(limit as usize);
        Ok(entries)
    }

    async fn commit(&self, writes: Vec<Write>) -> PortResult<u64> {
        Write::validate(&writes)?;
        // Held while the news go out, so that they go in commit order.
        let mut state = self.state.lock();
        if let Some(write) = writes.iter().find(|write| !state.meets(write)) {
            return Err(PortError::Conflict { key: write.key().clone() });
        }
        state.revision += 1;
        for write in writes {
            if let Some(change) = state.apply(write) {
                // An error means that there is no watcher.
                let _ = self.news.send(change);
            }
        }
        Ok(state.revision)
    }

    async fn watch(&self, collection: Collection) -> PortResult<Watch> {
        // Under one lock: no commit falls between snapshot and subscription.
        let (known, receiver) = {
            let state = self.state.lock();
            (state.of(collection), self.news.subscribe())
        };
        let known = stream::iter(known.into_iter().map(Change::Put).chain([Change::Synced]));
        let news = stream::unfold(Some(receiver), move |receiver| async move {
            let mut receiver = receiver?;
            loop {
                match receiver.recv().await {
                    Ok(change) if collection_of(&change) == Some(collection) => return Some((change, Some(receiver))),
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => return Some((Change::Lagged, None)),
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        Ok(Box::pin(known.chain(news)))
    }
}

fn collection_of(change: &Change) -> Option<Collection> {
    match change {
        Change::Put(entry) => Some(entry.key.collection),
        Change::Deleted { key, .. } => Some(key.collection),
        Change::Synced | Change::Lagged => None,
    }
}

// === impl State ===

impl State {
    fn of(&self, collection: Collection) -> Vec<Entry> {
        let entry = |(key, (value, revision)): (&Key, &(Bytes, u64))| Entry {
            key: key.clone(),
            value: value.clone(),
            revision: *revision,
        };
        self.entries.iter().filter(|(key, _)| key.collection == collection).map(entry).collect()
    }

    fn meets(&self, write: &Write) -> bool {
        let found = self.entries.get(write.key()).map(|(_, revision)| *revision);
        match write.expect() {
            Expect::Any => true,
            Expect::Absent => found.is_none(),
            Expect::Revision(wanted) => found == Some(wanted),
        }
    }

    fn apply(&mut self, write: Write) -> Option<Change> {
        let revision = self.revision;
        match write {
            Write::Put { key, value, .. } => {
                self.entries.insert(key.clone(), (value.clone(), revision));
                Some(Change::Put(Entry { key, value, revision }))
            }
            Write::Delete { key, .. } => self.entries.remove(&key).map(|_| Change::Deleted { key, revision }),
        }
    }
}
