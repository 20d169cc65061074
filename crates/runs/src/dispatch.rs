//! Runs that are accepted for later: from the queue to their terminal state.
//!
//! Four tasks share this. *Enqueuer* commits accepted runs in groups, the *dispatcher* leases what is due as far as
//! places are free, each run is *executed* in a task of its own as a call is, and the *committer* commits the ends in
//! groups. A heartbeat keeps the leases. What a run's lease no longer covers commits nothing.

mod backlog;
mod committer;
mod dispatcher;
mod enqueuer;
mod execute;
mod function_queues;
pub mod input;
mod outcome;
mod plan;
mod stored_body;
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
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::quotas::Quotas;
use crate::runs::Runs;

pub use backlog::{Backlog, BacklogEntry, Oversize};
pub(crate) use committer::CommitRequest;
pub(crate) use enqueuer::Pending;
pub(crate) use function_queues::FunctionQueues;
pub(crate) use outcome::cancel;
pub use stored_body::StoredBody;
pub(crate) use waiters::Waiters;

/// Accepted runs that wait for their commit, and ended ones.
const CHANNEL: usize = 1_024;

/// What the four tasks share.
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
    enqueuer: mpsc::Receiver<Pending>,
    endings: mpsc::Receiver<CommitRequest>,
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

/// Starts the tasks. Those returned end when they are aborted; the others with the engine.
pub(crate) fn start(runs: &Arc<Runs>, feeds: Feeds) -> [JoinHandle<()>; 2] {
    runs.lifecycle.spawn(dispatcher::run(Arc::clone(runs)));
    runs.lifecycle.spawn(dispatcher::keep_leases(Arc::clone(runs)));
    runs.lifecycle.spawn(dispatcher::expire(Arc::clone(runs)));
    [
        tokio::spawn(enqueuer::run(Arc::clone(runs), feeds.enqueuer)),
        tokio::spawn(committer::run(Arc::clone(runs), feeds.endings)),
    ]
}
