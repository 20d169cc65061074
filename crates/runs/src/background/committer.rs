//! The ends of leases are committed in groups. What is not stored yet is tried again until it is.

use std::sync::Arc;
use std::time::Duration;

use faas_ports::{FollowUps, Footprint, LeaseMark, RunOutcome, Settled, Settlement};
use faas_types::FunctionId;
use tokio::sync::mpsc;

use crate::dispatch::{CommitRequest, QueueKey};
use crate::runs::Runs;

/// Ends in one commit.
const GROUP: usize = 512;
/// Pauses between tries on a store that fails.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];

struct End {
    lease: LeaseMark,
    lane: QueueKey,
    footprint: Footprint,
    ordered: bool,
    /// The run is over.
    terminal: bool,
    /// It waits in the queue again.
    waits: bool,
    /// Whose run follows it, and what that takes.
    next: Option<(QueueKey, Footprint)>,
    /// The bytes of the callback to send.
    callback: Option<usize>,
}

/// Commits what comes until it is aborted.
pub(super) async fn run(runs: Arc<Runs>, mut endings: mpsc::Receiver<CommitRequest>) {
    let mut group = Vec::with_capacity(GROUP);
    while endings.recv_many(&mut group, GROUP).await > 0 {
        let (mut settlements, mut ends, mut flushed) = (Vec::new(), Vec::new(), Vec::new());
        for ending in group.drain(..) {
            match ending {
                CommitRequest::Lease { settlement, function, footprint, ordered } => {
                    ends.push(End::new(&settlement, function, footprint, ordered));
                    settlements.push(settlement);
                }
                CommitRequest::Flush(done) => flushed.push(done),
            }
        }
        if !settlements.is_empty() {
            count_in(&runs, &ends);
            let Settled { held, freed } = commit(&runs, settlements).await;
            runs.delete_blobs(freed);
            ends.into_iter().zip(held).for_each(|(end, held)| conclude(&runs, &end, held));
        }
        for done in flushed {
            // The asker may have given up.
            let _ = done.send(());
        }
    }
}

// === impl End ===

impl End {
    fn new(settlement: &Settlement, function: FunctionId, footprint: Footprint, ordered: bool) -> Self {
        let follow_ups = match &settlement.outcome {
            RunOutcome::Finish { follow_ups, .. } => Some(follow_ups),
            _ => None,
        };
        let next = |follow_ups: &FollowUps| {
            let lane = |item: &faas_ports::NewItem| (item.record.project, item.record.function().id);
            follow_ups.run.as_ref().map(|item| (lane(item), item.footprint))
        };
        Self {
            lease: settlement.lease,
            lane: (settlement.lease.project, function),
            footprint,
            ordered,
            terminal: follow_ups.is_some(),
            waits: follow_ups.is_none(),
            next: follow_ups.and_then(next),
            callback: follow_ups
                .and_then(|follow_ups| follow_ups.callback.as_ref())
                .map(|callback| callback.body.len()),
        }
    }
}

/// Counts the runs of destinations and the callbacks in before their commit: one that ends at once must not be counted out
/// first. They are never refused, since what they follow has happened.
fn count_in(runs: &Runs, ends: &[End]) {
    for end in ends {
        if let Some((lane, footprint)) = end.next {
            runs.dispatch.backlog.admit(lane, footprint);
        }
        if let Some(body) = end.callback {
            runs.outbox.add(end.lane.0, body);
        }
    }
}

async fn commit(runs: &Runs, settlements: Vec<Settlement>) -> Settled {
    let [mut pause, longest] = PAUSES;
    loop {
        match runs.dispatch.queue.settle(settlements.clone(), runs.dispatch.quotas.inputs).await {
            Ok(settled) => return settled,
            Err(error) => {
                tracing::error!(%error, count = settlements.len(), "the ends of runs are not stored yet");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
        }
    }
}

fn conclude(runs: &Runs, end: &End, held: bool) {
    let dispatch = &runs.dispatch;
    {
        let mut leases = dispatch.held.lock();
        if leases.get(&end.lease.run).is_some_and(|known| known.mark == end.lease) {
            leases.remove(&end.lease.run);
        }
    }
    if !held {
        tracing::warn!(run_id = %end.lease.run, epoch = end.lease.epoch, "a run ended after its lease was lost");
        end.next.into_iter().for_each(|(lane, footprint)| runs.leave_backlog(lane, footprint));
        end.callback.into_iter().for_each(|body| runs.outbox.remove(end.lane.0, body));
        return;
    }
    if end.terminal {
        runs.leave_backlog(end.lane, end.footprint);
        runs.hooks.run_ended(end.lease.run);
    }
    if end.terminal && end.ordered {
        dispatch.queues.sign(end.lane);
    }
    if let Some((next, _)) = end.next {
        dispatch.queues.sign(next);
    }
    if end.callback.is_some() {
        runs.completion_metrics.wake();
    }
    if end.waits {
        runs.dispatch.queues.look();
    }
    dispatch.waiters.wake(end.lease.run);
}
