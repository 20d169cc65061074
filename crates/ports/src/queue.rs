//! Accepted runs that wait for a worker.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faas_types::{FunctionId, ProjectId, RunId, Timestamp};

use crate::PortResult;

/// A run to enqueue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewItem {
    /// The run; one that waits, is leased or was given up cannot be enqueued again.
    pub run: RunId,
    /// The owner.
    pub project: ProjectId,
    /// The function to run.
    pub function: FunctionId,
    /// Not handed out before this time.
    pub not_before: Timestamp,
    /// Higher goes first among items that are due.
    pub priority: u8,
    /// Items of one function with the same key are handed out one at a time, in the order of enqueuing.
    pub ordering_key: Option<String>,
    /// What the worker needs.
    pub payload: Bytes,
}

/// A queued run as a worker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueItem {
    /// What was enqueued.
    pub item: NewItem,
    /// Times it was handed out, this one included.
    pub deliveries: u32,
}

/// The right to work on one item until a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The item.
    pub item: QueueItem,
    /// Fences out earlier holders: rises each time the item is handed out.
    pub epoch: u64,
    /// When the item is handed out again unless the lease is extended.
    pub expires_at: Timestamp,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueDepth {
    /// Items that wait, due or not.
    pub waiting: u64,
    /// Items that are leased.
    pub leased: u64,
    /// Items that were given up.
    pub dead: u64,
}

/// Durable, leased work. What is enqueued survives; every item ends in `ack` or `dead_letter`.
#[async_trait]
pub trait RunQueue: Send + Sync {
    /// Adds all items or none, fsynced.
    ///
    /// # Errors
    /// [`PortError::Exists`](crate::PortError::Exists) naming the first run that is in the queue already.
    async fn enqueue(&self, items: Vec<NewItem>) -> PortResult<()>;

    /// Hands out up to `max` due items for `ttl`; items with lapsed leases are due.
    async fn lease(&self, worker: &str, max: u32, ttl: Duration, now: Timestamp) -> PortResult<Vec<Lease>>;

    /// Keeps a lease until `expires_at`.
    ///
    /// # Errors
    /// [`PortError::LeaseLost`](crate::PortError::LeaseLost) when another worker holds it or it is gone; so for
    /// all calls below.
    async fn extend(&self, lease: &Lease, expires_at: Timestamp) -> PortResult<()>;

    /// The work is done; the item leaves the queue.
    async fn ack(&self, lease: &Lease) -> PortResult<()>;

    /// Gives the item back, not to be handed out before `not_before`.
    async fn nak(&self, lease: &Lease, not_before: Timestamp) -> PortResult<()>;

    /// Gives the item up, keeping it with the reason.
    async fn dead_letter(&self, lease: &Lease, reason: &str) -> PortResult<()>;

    /// How much waits, for one function or for a whole project.
    async fn depth(&self, project: ProjectId, function: Option<FunctionId>) -> PortResult<QueueDepth>;
}
