//! Background runs, from the queue to their terminal state.
//!
//! Four tasks: the *enqueuer* commits accepted runs in groups, the *dispatcher* leases what is due as far as places are
//! free, each run is *executed* in its own task as a call is, and the *committer* commits the ends in groups. A
//! heartbeat keeps the leases. What a run's lease no longer covers commits nothing.

mod committer;
mod dispatcher;
mod enqueuer;
mod execute;
mod outcome;

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::dispatch::Feeds;
use crate::runs::Runs;

pub(crate) use outcome::cancel;

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
