//! Accepted runs on their way to a terminal state.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faas_types::{Digest, FunctionId, ProjectId, RunId, RunRecord, Timestamp};

use crate::{ByteBounds, Claim, NewCallback, PortResult};

/// What an item takes, for the bounds on what waits and on what is kept of ended runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Bytes of its input, wherever the body is stored, and of its rows.
    pub bytes: u64,
    /// Whether its caller showed no key.
    pub keyless: bool,
    /// The blob with its body, which no other item shares: it can be deleted with the input.
    pub blob: Option<Digest>,
    /// Bytes that are reserved until its end for the callback that reports it.
    pub reserved: u64,
}

/// The outcome of settlements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// For each, whether its lease was still held.
    pub held: Vec<bool>,
    /// Blobs of inputs that were removed to make room. Nothing refers to them any more.
    pub freed: Vec<Digest>,
}

/// A run that was taken out of the queue before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// What it took.
    pub footprint: Footprint,
    /// Blobs of inputs that were removed to make room. Nothing refers to them any more.
    pub freed: Vec<Digest>,
}

/// A run to enqueue.
#[derive(Clone, Debug, PartialEq)]
pub struct NewItem {
    /// The run as the history shows it until its first attempt. It must never have been enqueued before.
    pub record: RunRecord,
    /// Not handed out before this time.
    pub not_before: Timestamp,
    /// Higher goes first among items of a function that are due.
    pub priority: u8,
    /// Items of one function with the same key are handed out one at a time, in the order of enqueuing.
    pub ordering_key: Option<String>,
    /// What the worker needs. Kept after the run's end, for replays.
    pub input: Bytes,
    /// The caller's own name for this run: only its first holder is enqueued.
    pub claim: Option<Claim>,
    /// The dead letter that this run tries again; it leaves the dead letters in the same commit.
    pub redrives: Option<RunId>,
    /// What it takes.
    pub footprint: Footprint,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// It is in the queue.
    Accepted,
    /// Another run holds its claim; nothing was enqueued.
    Known {
        /// The run that holds it.
        run: RunId,
        /// Whether both carry the same fingerprint.
        same: bool,
    },
    /// The dead letter that it redrives is gone; nothing was enqueued.
    Gone,
    /// Its function or project holds as many names as its claim's quota allows; nothing was enqueued.
    TooManyClaims,
}

/// How many items of a function a worker can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// The owner.
    pub project: ProjectId,
    /// The function.
    pub function: FunctionId,
    /// The maximum of items.
    pub max: u32,
}

/// Where work is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueOutlook {
    /// Functions with items that can be handed out now.
    pub ready: Vec<(ProjectId, FunctionId)>,
    /// When the next item becomes due: its delay, or the end of its lease.
    pub next: Option<Timestamp>,
}

/// The right to work on one item until a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    /// The run as it stood before this lease.
    pub record: RunRecord,
    /// What the worker needs.
    pub input: Bytes,
    /// As it was enqueued.
    pub ordering_key: Option<String>,
    /// Times it was handed out, this one included, without those that gave it back unused.
    pub deliveries: u32,
    /// Fences out earlier holders: rises each time the item is handed out.
    pub epoch: u64,
    /// When the item is handed out again unless the lease is extended.
    pub expires_at: Timestamp,
    /// As it was enqueued.
    pub footprint: Footprint,
}

/// A lease by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseMark {
    /// The owner.
    pub project: ProjectId,
    /// The run.
    pub run: RunId,
    /// The lease's epoch.
    pub epoch: u64,
}

/// What a worker says at the end of a lease.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    /// The lease that ends.
    pub lease: LeaseMark,
    /// What becomes of the item.
    pub outcome: RunOutcome,
}

/// What becomes of an item.
#[derive(Clone, Debug, PartialEq)]
pub enum RunOutcome {
    /// It leaves the queue, and the history keeps this terminal record, in one commit.
    Finish {
        /// The run at its end.
        record: Box<RunRecord>,
        /// Why it is kept among the dead letters, if it is.
        dead: Option<String>,
        /// What is committed with it.
        follow_ups: FollowUps,
    },
    /// It is handed out again after a time, and the history shows this record meanwhile.
    Retry {
        /// The run after a failed attempt.
        record: Box<RunRecord>,
        /// When the next attempt may begin.
        not_before: Timestamp,
    },
    /// Nothing was done with it: the delivery is not counted and the record stays.
    Return {
        /// When it may be handed out again.
        not_before: Timestamp,
    },
}

/// What follows a run's end, committed with it: whatever happens to the server, both are there or neither is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FollowUps {
    /// A message to send.
    pub callback: Option<NewCallback>,
    /// The run of another function. It is enqueued whatever else waits.
    pub run: Option<Box<NewItem>>,
}

/// How much waits of one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueDepth {
    /// The owner.
    pub project: ProjectId,
    /// The function.
    pub function: FunctionId,
    /// Items that wait, due or not.
    pub waiting: u64,
    /// Items that are leased.
    pub leased: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Those of callers without a key.
    pub keyless: u64,
    /// The bytes of these.
    pub keyless_bytes: u64,
    /// Bytes that are reserved for the callbacks of all of them.
    pub reserved: u64,
}

/// Durable, leased work. What is enqueued survives, and ends in exactly one `Finish` or `withdraw`. From the commit of
/// `enqueue` on the history shows the run: queued, running while it is leased, retried between attempts.
#[async_trait]
pub trait RunQueue: Send + Sync {
    /// Adds items, fsynced in one commit, and says what became of each.
    ///
    /// # Errors
    /// [`PortError::Exists`](crate::PortError::Exists) naming the first run that was enqueued before; nothing is added
    /// then.
    async fn enqueue(&self, items: Vec<NewItem>) -> PortResult<Vec<Enqueued>>;

    /// Where work is at this time; items with lapsed leases count.
    async fn outlook(&self, now: Timestamp) -> PortResult<QueueOutlook>;

    /// Hands out due items for `ttl`; items with lapsed leases are due. Order: priority, then the order of enqueuing.
    async fn lease(&self, worker: &str, wants: &[Want], ttl: Duration, now: Timestamp) -> PortResult<Vec<Lease>>;

    /// Keeps leases until `expires_at`; says of each whether it was still held.
    async fn extend(&self, leases: &[LeaseMark], expires_at: Timestamp) -> PortResult<Vec<bool>>;

    /// Ends leases in one commit. A lease that was not held changes nothing.
    ///
    /// The inputs of ended runs are kept for replays, within `kept`. The same commit removes those beyond it, of the
    /// function first, then of the function that keeps most in the project: callers' without a key before others, dead
    /// letters with their inputs last within each of these two, and the oldest first.
    async fn settle(&self, settlements: Vec<Settlement>, kept: ByteBounds) -> PortResult<Settled>;

    /// Ends a run that is in the queue, leased or not, with this terminal record. Whoever holds its lease has lost it.
    /// `None` when it is not in the queue; nothing follows then. Its input is kept within `kept`, as by `settle`.
    async fn withdraw(
        &self,
        record: RunRecord,
        follow_ups: FollowUps,
        kept: ByteBounds,
    ) -> PortResult<Option<Withdrawn>>;

    /// How much waits of every function. Reads the whole queue: for starts and tests.
    async fn depths(&self) -> PortResult<Vec<QueueDepth>>;
}

// === impl Lease ===

impl Lease {
    /// Its name.
    #[must_use]
    pub fn mark(&self) -> LeaseMark {
        LeaseMark { project: self.record.project, run: self.record.id, epoch: self.epoch }
    }
}
