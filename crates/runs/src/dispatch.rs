//! What the tasks of background runs share: the queue's ports, what waits, which functions have work, and the leases.

mod backlog;
mod function_queues;
mod handover;
mod plan;
mod waiters;

#[cfg(test)]
mod simulation;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use faas_ports::{Claims, DeadLetters, LeaseMark, QueueDepth, RunQueue};
use faas_types::RunId;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::quotas::Quotas;

pub use backlog::{Backlog, Oversize};
pub(crate) use function_queues::{FunctionQueues, QueueKey};
pub(crate) use handover::{CommitRequest, Pending};
pub(crate) use waiters::Waiters;

/// Accepted runs that wait for their commit, and ended ones.
const CHANNEL: usize = 1_024;

/// What the tasks share.
pub struct Dispatch {
    /// Background runs that have not ended.
    pub queue: Arc<dyn RunQueue>,
    /// Runs that were given up.
    pub letters: Arc<dyn DeadLetters>,
    /// Idempotency keys and the answers kept for them.
    pub claims: Arc<dyn Claims>,
    /// How long a lease holds without a heartbeat.
    pub(crate) lease: Duration,
    /// How much callers can make the server keep.
    pub quotas: Quotas,
    /// Bytes of what waits, by function.
    pub backlog: Backlog,
    /// The queues of functions with something to lease.
    pub queues: FunctionQueues,
    pub(crate) waiters: Waiters,
    /// Leases of this server, by run.
    pub(crate) held: Mutex<HashMap<RunId, Held>>,
    enqueuer: mpsc::Sender<Pending>,
    endings: mpsc::Sender<CommitRequest>,
}

/// A lease of this server.
pub(crate) struct Held {
    pub(crate) mark: LeaseMark,
    /// Ends its execution.
    pub(crate) stop: CancellationToken,
    /// Somebody asked for the run's end.
    pub(crate) cancelled: bool,
}

/// The far ends of the channels, until the tasks are started.
pub struct Feeds {
    pub(crate) enqueuer: mpsc::Receiver<Pending>,
    pub(crate) endings: mpsc::Receiver<CommitRequest>,
}

// === impl Dispatch ===

impl Dispatch {
    pub(crate) fn open(
        queue: Arc<dyn RunQueue>,
        letters: Arc<dyn DeadLetters>,
        claims: Arc<dyn Claims>,
        lease: Duration,
        quotas: Quotas,
        depths: &[QueueDepth],
    ) -> (Self, Feeds) {
        let backlog = Backlog::new(depths, quotas);
        let (enqueuer, intake_end) = mpsc::channel(CHANNEL);
        let (endings, endings_end) = mpsc::channel(CHANNEL);
        let dispatch = Self {
            queue,
            letters,
            claims,
            lease,
            quotas,
            backlog,
            queues: FunctionQueues::default(),
            waiters: Waiters::default(),
            held: Mutex::default(),
            enqueuer,
            endings,
        };
        (dispatch, Feeds { enqueuer: intake_end, endings: endings_end })
    }

    /// Hands an accepted run to the enqueuer.
    pub(crate) fn enqueuer(&self) -> &mpsc::Sender<Pending> {
        &self.enqueuer
    }

    /// Hands the end of a lease to the committer, which commits it.
    pub(crate) async fn end(&self, ending: CommitRequest) {
        // The committer outlives every execution.
        let _ = self.endings.send(ending).await;
    }

    /// Returns when everything handed in so far is committed, or the patience is over.
    pub(crate) async fn flush(&self, patience: Duration) {
        let (done, wait) = oneshot::channel();
        let flushed = async {
            if self.endings.send(CommitRequest::Flush(done)).await.is_ok() {
                let _ = wait.await;
            }
        };
        if tokio::time::timeout(patience, flushed).await.is_err() {
            tracing::warn!("some runs' ends could not be stored; they are tried again at the next start");
        }
    }

    /// Whether somebody asked for the end of this lease's run.
    pub(crate) fn is_cancelled(&self, mark: LeaseMark) -> bool {
        self.held.lock().get(&mark.run).is_some_and(|held| held.mark == mark && held.cancelled)
    }

    /// Ends a run's execution, if it is under way here; it then settles as cancelled.
    pub(crate) fn stop_run(&self, run: RunId) -> bool {
        let mut leases = self.held.lock();
        let Some(held) = leases.get_mut(&run) else { return false };
        held.cancelled = true;
        held.stop.cancel();
        true
    }
}
