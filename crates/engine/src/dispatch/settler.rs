//! The ends of leases are committed in groups. What is not stored yet is tried again until it is.

use std::sync::Arc;
use std::time::Duration;

use faas_ports::{LeaseMark, Sequel, Settlement, Verdict};
use faas_types::{FunctionId, ProjectId};
use tokio::sync::{mpsc, oneshot};

use super::lanes::LaneKey;
use crate::core::Core;

/// Ends in one commit.
const GROUP: usize = 512;
/// Pauses between tries on a store that fails.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];

/// What the settler is told.
pub(crate) enum Ending {
    /// A lease ends.
    Lease {
        /// How.
        settlement: Settlement,
        /// The run's function.
        function: FunctionId,
        /// Whether the next run of its ordering key may go on.
        ordered: bool,
    },
    /// Answers when everything before it is committed.
    Flush(oneshot::Sender<()>),
}

struct Settled {
    lease: LeaseMark,
    project: ProjectId,
    function: FunctionId,
    ordered: bool,
    /// The run is over.
    terminal: bool,
    /// It waits in the queue again.
    waits: bool,
    /// Whose run follows it.
    next: Option<LaneKey>,
    /// There is a callback to send.
    calls_back: bool,
}

/// Commits what comes until it is aborted.
pub(super) async fn run(core: Arc<Core>, mut endings: mpsc::Receiver<Ending>) {
    let mut group = Vec::with_capacity(GROUP);
    while endings.recv_many(&mut group, GROUP).await > 0 {
        let (mut settlements, mut ends, mut flushed) = (Vec::new(), Vec::new(), Vec::new());
        for ending in group.drain(..) {
            match ending {
                Ending::Lease { settlement, function, ordered } => {
                    ends.push(Settled::new(&settlement, function, ordered));
                    settlements.push(settlement);
                }
                Ending::Flush(done) => flushed.push(done),
            }
        }
        if !settlements.is_empty() {
            count_in(&core, ends.iter().filter_map(|end| end.next));
            let held = commit(&core, settlements).await;
            ends.into_iter().zip(held).for_each(|(end, held)| conclude(&core, &end, held));
        }
        for done in flushed {
            // The asker may have given up.
            let _ = done.send(());
        }
    }
}

// === impl Settled ===

impl Settled {
    fn new(settlement: &Settlement, function: FunctionId, ordered: bool) -> Self {
        let sequel = match &settlement.verdict {
            Verdict::Finish { sequel, .. } => Some(sequel),
            _ => None,
        };
        let next = |sequel: &Sequel| sequel.run.as_ref().map(|item| (item.record.project, item.record.function));
        Self {
            lease: settlement.lease,
            project: settlement.lease.project,
            function,
            ordered,
            terminal: sequel.is_some(),
            waits: sequel.is_none(),
            next: sequel.and_then(next),
            calls_back: sequel.is_some_and(|sequel| sequel.callback.is_some()),
        }
    }
}

/// Counts the runs of destinations into the backlog before their commit: one that ends at once must not be counted out
/// first. They are never refused, since what they follow has happened.
fn count_in(core: &Core, runs: impl Iterator<Item = LaneKey>) {
    runs.for_each(|(project, function)| core.dispatch.backlog.admit(project, function));
}

async fn commit(core: &Core, settlements: Vec<Settlement>) -> Vec<bool> {
    let [mut pause, longest] = PAUSES;
    loop {
        match core.dispatch.queue.settle(settlements.clone()).await {
            Ok(held) => return held,
            Err(error) => {
                tracing::error!(%error, count = settlements.len(), "the ends of runs are not stored yet");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
        }
    }
}

fn conclude(core: &Core, end: &Settled, held: bool) {
    let dispatch = &core.dispatch;
    {
        let mut leases = dispatch.held.lock();
        if leases.get(&end.lease.run).is_some_and(|known| known.mark == end.lease) {
            leases.remove(&end.lease.run);
        }
    }
    if !held {
        tracing::warn!(run_id = %end.lease.run, epoch = end.lease.epoch, "a run ended after its lease was lost");
        end.next.into_iter().for_each(|(project, function)| dispatch.backlog.leave(project, function));
        return;
    }
    if end.terminal {
        dispatch.backlog.leave(end.project, end.function);
        core.topics.flow.ended(end.lease.run);
    }
    if end.terminal && end.ordered {
        dispatch.lanes.sign((end.project, end.function));
    }
    if let Some(next) = end.next {
        dispatch.lanes.sign(next);
    }
    if end.calls_back {
        core.onward.wake();
    }
    if end.waits {
        core.dispatch.lanes.look();
    }
    dispatch.waiters.wake(end.lease.run);
}
