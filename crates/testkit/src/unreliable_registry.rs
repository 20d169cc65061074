//! A registry whose watches lag and fail when a test says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use faas_ports::{Change, Collection, Entry, Key, PortError, PortResult, Registry, Watch, Write};
use faas_types::ProjectId;
use futures_util::{StreamExt, stream};
use tokio::sync::watch;

use crate::MemoryRegistry;

/// A registry in memory with outages of its watches.
#[derive(Debug)]
pub struct UnreliableRegistry {
    inner: MemoryRegistry,
    outage: watch::Sender<bool>,
    refused: AtomicU64,
}

// === impl UnreliableRegistry ===

impl UnreliableRegistry {
    /// An empty registry that works.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let (inner, outage, refused) = (MemoryRegistry::default(), watch::Sender::new(false), AtomicU64::new(0));
        Arc::new(Self { inner, outage, refused })
    }

    /// Starts or ends an outage. At its start every watch lags; until its end none begins. Reads and commits go on.
    pub fn set_outage(&self, outage: bool) {
        self.outage.send_replace(outage);
    }

    /// Watches that were refused so far.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Acquire)
    }
}

#[async_trait]
impl Registry for UnreliableRegistry {
    async fn get(&self, key: &Key) -> PortResult<Option<Entry>> {
        self.inner.get(key).await
    }

    async fn list(
        &self,
        project: ProjectId,
        collection: Collection,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> PortResult<Vec<Entry>> {
        self.inner.list(project, collection, prefix, after, limit).await
    }

    async fn scan(&self, collection: Collection, after: Option<&Key>, limit: u32) -> PortResult<Vec<Entry>> {
        self.inner.scan(collection, after, limit).await
    }

    async fn commit(&self, writes: Vec<Write>) -> PortResult<u64> {
        self.inner.commit(writes).await
    }

    async fn watch(&self, collection: Collection) -> PortResult<Watch> {
        let outage = self.outage.subscribe();
        if *outage.borrow() {
            self.refused.fetch_add(1, Ordering::AcqRel);
            return Err(PortError::failed("watching the registry", "an outage of the test"));
        }
        let changes = self.inner.watch(collection).await?;
        let until_outage = stream::unfold(Some((changes, outage)), |state| async move {
            let (mut changes, mut outage) = state?;
            let change = tokio::select! {
                biased;
                // Watches end with their registry too.
                _ = outage.wait_for(|outage| *outage) => return Some((Change::Lagged, None)),
                change = changes.next() => change?,
            };
            Some((change, Some((changes, outage))))
        });
        Ok(until_outage.boxed())
    }
}
