//! Follows a collection of the registry and keeps a table in memory current.
//!
//! A projection loads the collection, then applies every change. When the watch ends, lags or fails, it loads the
//! collection again, with a backoff, and drops the entries that were deleted in between. It never stops following;
//! [`Projection::status`] says whether the table is current.

mod freshness;
mod revisions;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use faas_ports::{Change, Collection, Entry, Key, PortError, PortResult, Registry, Watch};
use futures_util::StreamExt;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

pub use freshness::{ProjectionStatus, STALE_MAX};

use crate::records::decode;
use freshness::Freshness;
use revisions::Revisions;

/// The first pause before the collection is loaded again; doubled with each failure.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause. A watch that lasted longer than this resets the backoff.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Attempts of the first load when its watch lags or ends early.
const START_ATTEMPTS: u32 = 5;

/// A table in memory that a [`Projection`] fills. Calls come one at a time and in the order of revisions of each key.
pub trait ProjectedTable: Send + Sync + 'static {
    /// The records of the collection, as the registry stores them.
    type Record: DeserializeOwned;
    /// The collection to follow.
    const COLLECTION: Collection;

    /// Sets an entry.
    ///
    /// # Errors
    /// [`PortError::Corrupt`] for a key whose name cannot be read. The entry is left out.
    fn put(&self, key: &Key, record: Self::Record, revision: u64) -> PortResult<()>;

    /// Removes an entry. Called for unknown keys too.
    fn remove(&self, key: &Key);
}

/// A table that follows its collection of the registry until it is dropped.
pub struct Projection<T: ProjectedTable> {
    shared: Arc<Shared<T>>,
    _follower: AbortOnDropHandle<()>,
}

struct Shared<T> {
    registry: Arc<dyn Registry>,
    table: T,
    /// Held while the table changes, so that changes of a key cannot overtake each other.
    revisions: Mutex<Revisions>,
    freshness: Freshness,
}

// === impl Projection ===

impl<T: ProjectedTable> Projection<T> {
    /// Loads the collection and starts following it.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn start(registry: Arc<dyn Registry>, table: T) -> PortResult<Self> {
        let freshness = Freshness::new(T::COLLECTION);
        let shared = Arc::new(Shared { registry, table, revisions: Mutex::default(), freshness });
        let mut attempt = 1;
        let watch = loop {
            match shared.load().await {
                Err(PortError::Closed(_)) if attempt < START_ATTEMPTS => attempt += 1,
                loaded => break loaded?,
            }
        };
        let follower = tokio::spawn(Arc::clone(&shared).follow(watch));
        Ok(Self { shared, _follower: AbortOnDropHandle::new(follower) })
    }

    /// The table.
    pub fn table(&self) -> &T {
        &self.shared.table
    }

    /// Takes in a record that this process has committed, so that its caller sees it at once. Ignored when a newer
    /// revision is known.
    pub fn put(&self, key: &Key, record: T::Record, revision: u64) {
        self.shared.put(key, Ok(record), revision);
    }

    /// Takes in a deletion that this process has committed. Ignored when a newer revision is known.
    pub fn remove(&self, key: &Key, revision: u64) {
        self.shared.remove(key, revision);
    }

    /// Whether the table is current.
    pub fn status(&self) -> ProjectionStatus {
        self.shared.freshness.status()
    }
}

impl<T: ProjectedTable + std::fmt::Debug> std::fmt::Debug for Projection<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Projection").field("table", self.table()).field("status", &self.status()).finish()
    }
}

// === impl Shared ===

impl<T: ProjectedTable> Shared<T> {
    async fn follow(self: Arc<Self>, mut watch: Watch) {
        let mut pause = Duration::ZERO;
        loop {
            let since = Instant::now();
            while let Some(change) = watch.next().await {
                match change {
                    Change::Lagged => break,
                    other => self.apply(other),
                }
            }
            self.freshness.lost();
            if since.elapsed() > PAUSE_MAX {
                pause = Duration::ZERO;
            }
            watch = loop {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
                match self.load().await {
                    Ok(watch) => break watch,
                    Err(error) => {
                        self.freshness.failed();
                        let (collection, retry_in_ms) = (T::COLLECTION.as_str(), pause.as_millis());
                        tracing::warn!(collection, %error, retry_in_ms, "cannot follow the registry; trying again");
                    }
                }
            };
        }
    }

    /// Makes the table equal to the collection and returns the watch of later changes.
    async fn load(&self) -> PortResult<Watch> {
        // What is known by now and missing from the snapshot, which is taken later, was deleted.
        let before = self.revisions.lock().live();
        let mut watch = self.registry.watch(T::COLLECTION).await?;
        // Nothing can be missing of a table that was empty, as at the start of the server.
        let mut found = (!before.is_empty()).then(HashSet::new);
        loop {
            match watch.next().await {
                Some(Change::Synced) => break,
                Some(Change::Put(entry)) => {
                    if let Some(found) = &mut found {
                        found.insert(entry.key.clone());
                    }
                    self.apply(Change::Put(entry));
                }
                Some(deleted @ Change::Deleted { .. }) => self.apply(deleted),
                Some(Change::Lagged) | None => return Err(PortError::Closed("registry")),
            }
        }
        let found = found.unwrap_or_default();
        for (key, revision) in before.into_iter().filter(|(key, _)| !found.contains(key)) {
            let mut revisions = self.revisions.lock();
            if revisions.delete_missing(&key, revision) {
                self.table.remove(&key);
            }
        }
        self.freshness.loaded();
        Ok(watch)
    }

    fn apply(&self, change: Change) {
        match change {
            Change::Put(Entry { key, value, revision }) => self.put(&key, decode(&key, &value), revision),
            Change::Deleted { key, revision } => self.remove(&key, revision),
            Change::Synced | Change::Lagged => {}
        }
    }

    fn put(&self, key: &Key, record: PortResult<T::Record>, revision: u64) {
        let mut revisions = self.revisions.lock();
        if !revisions.advance(key, revision) {
            return;
        }
        if let Err(error) = record.and_then(|record| self.table.put(key, record, revision)) {
            // As after a restart: what the entry was before counts no more.
            self.table.remove(key);
            tracing::error!(%error, "an entry of the registry is left out");
        }
    }

    fn remove(&self, key: &Key, revision: u64) {
        let mut revisions = self.revisions.lock();
        if revisions.delete(key, revision) {
            self.table.remove(key);
        }
    }
}

/// Every entry of a collection at one moment.
///
/// # Errors
/// When the registry cannot be read, or changes faster than it is read.
pub async fn snapshot(registry: &dyn Registry, collection: Collection) -> PortResult<Vec<Entry>> {
    for _ in 0..START_ATTEMPTS {
        let mut watch = registry.watch(collection).await?;
        let mut entries = Vec::new();
        while let Some(change) = watch.next().await {
            match change {
                Change::Put(entry) => entries.push(entry),
                Change::Synced => return Ok(entries),
                Change::Deleted { .. } => {}
                Change::Lagged => break,
            }
        }
    }
    Err(PortError::Closed("registry"))
}
