//! Which subscriptions have news, and how many of their runs are under way.

use std::collections::{BTreeSet, HashMap};

use faas_ports::TopicKey;
use faas_types::{RunId, TriggerId};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// News of subscriptions since the dispatcher last asked. Runs from before the last restart are not counted.
#[derive(Default)]
pub(super) struct SubscriptionTracker {
    state: Mutex<TrackerState>,
    changed: Notify,
}

/// Guarded by the tracker's lock.
#[derive(Default)]
struct TrackerState {
    touched: BTreeSet<TriggerId>,
    doubted: BTreeSet<TopicKey>,
    runs: HashMap<RunId, TriggerId>,
    under_way: HashMap<TriggerId, u32>,
}

// === impl SubscriptionTracker ===

impl SubscriptionTracker {
    /// Marks subscriptions that may have messages to hand over.
    pub(super) fn touch(&self, ids: impl IntoIterator<Item = TriggerId>) {
        self.state.lock().touched.extend(ids);
        self.changed.notify_one();
    }

    /// Marks a topic whose stored subscriptions may be out of date.
    pub(super) fn doubt(&self, topic: TopicKey) {
        self.state.lock().doubted.insert(topic);
        self.changed.notify_one();
    }

    pub(super) fn take_touched(&self) -> BTreeSet<TriggerId> {
        std::mem::take(&mut self.state.lock().touched)
    }

    pub(super) fn take_doubted(&self) -> BTreeSet<TopicKey> {
        std::mem::take(&mut self.state.lock().doubted)
    }

    /// Completes when there is news.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// How many runs of a subscription have not ended.
    pub(super) fn under_way(&self, id: TriggerId) -> u32 {
        self.state.lock().under_way.get(&id).copied().unwrap_or_default()
    }

    /// Counts runs that are about to be enqueued. Called before the commit, since they may end right after it.
    pub(super) fn begin(&self, id: TriggerId, runs: &[RunId]) {
        let mut state = self.state.lock();
        state.runs.extend(runs.iter().map(|run| (*run, id)));
        *state.under_way.entry(id).or_default() += u32::try_from(runs.len()).unwrap_or(u32::MAX);
    }

    /// Takes in that a run has ended or was not enqueued. Ignores runs that no subscription made.
    pub(super) fn ended(&self, run: RunId) {
        let mut state = self.state.lock();
        let Some(id) = state.runs.remove(&run) else { return };
        if let Some(count) = state.under_way.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                state.under_way.remove(&id);
            }
        }
        state.touched.insert(id);
        drop(state);
        self.changed.notify_one();
    }
}
