//! Accepted runs reach the queue in groups: one commit, and one fsync, for all that wait.

use std::sync::Arc;

use faas_ports::{Enqueued, Footprint, NewItem, PortError};
use faas_types::Fault;
use tokio::sync::{mpsc, oneshot};

use crate::dispatch::{Pending, QueueKey};
use crate::runs::Runs;

/// Runs in one commit.
const GROUP: usize = 512;

/// What a run has taken of the backlog.
struct Place {
    lane: QueueKey,
    footprint: Footprint,
}

/// Commits what comes until it is aborted.
pub(super) async fn run(runs: Arc<Runs>, mut pending: mpsc::Receiver<Pending>) {
    let mut group = Vec::with_capacity(GROUP);
    while pending.recv_many(&mut group, GROUP).await > 0 {
        let (items, replies): (Vec<NewItem>, Vec<_>) = group.drain(..).map(|one| (one.item, one.reply)).unzip();
        let places: Vec<_> = items.iter().map(Place::of).collect();
        match runs.dispatch.queue.enqueue(items).await {
            Ok(outcomes) => {
                // Before the answers: who asks for the run at once finds it under way.
                let accepted = outcomes.iter().zip(&places).filter(|(outcome, _)| **outcome == Enqueued::Accepted);
                runs.dispatch.queues.sign_all(accepted.map(|(_, place)| place.lane));
                let refused = outcomes.iter().zip(&places).filter(|(outcome, _)| **outcome != Enqueued::Accepted);
                count_out(&runs, refused.map(|(_, place)| place));
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    // A caller that went away has its run all the same.
                    let _ = reply.send(Ok(outcome));
                }
            }
            Err(error) => {
                if error.is_in_doubt() {
                    // They may be stored after all: a body that nothing refers to is collected.
                    places.iter().for_each(|place| runs.leave_backlog(place.lane, place.footprint));
                    runs.dispatch.queues.look();
                } else {
                    count_out(&runs, places.iter());
                }
                refuse(replies, error);
            }
        }
    }
}

// === impl Place ===

impl Place {
    fn of(item: &NewItem) -> Self {
        Self { lane: (item.record.project, item.record.function().id), footprint: item.footprint }
    }
}

/// Takes back the places in the backlog, and the bodies, of runs that did not come into the queue. Here rather than where they
/// were counted in, since a caller may have gone away meanwhile.
fn count_out<'a>(runs: &Runs, gone: impl Iterator<Item = &'a Place>) {
    let bodies = gone.filter_map(|place| {
        runs.leave_backlog(place.lane, place.footprint);
        place.footprint.blob
    });
    runs.delete_blobs(bodies.collect());
}

fn refuse(replies: Vec<oneshot::Sender<Result<Enqueued, Fault>>>, error: PortError) {
    let fault = Fault::from(error);
    for reply in replies {
        let _ = reply.send(Err(fault.clone()));
    }
}
