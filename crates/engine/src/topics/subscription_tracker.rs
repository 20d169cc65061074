//! Which subscriptions have to be looked at, and how many of their runs are under way.

use std::collections::{BTreeSet, HashMap};

use faas_ports::TopicKey;
use faas_types::{RunId, TriggerId};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// What happens to subscriptions. Runs that an earlier server handed over are not counted.
#[derive(Default)]
pub(crate) struct SubscriptionTracker {
    table: Mutex<Table>,
    news: Notify,
}

#[derive(Default)]
struct Table {
    touched: BTreeSet<TriggerId>,
    doubted: BTreeSet<TopicKey>,
    runs: HashMap<RunId, TriggerId>,
    under_way: HashMap<TriggerId, u32>,
}

// === impl SubscriptionTracker ===

impl SubscriptionTracker {
    /// There is something new for these.
    pub(crate) fn touch(&self, ids: impl IntoIterator<Item = TriggerId>) {
        self.table.lock().touched.extend(ids);
        self.news.notify_one();
    }

    /// What the store knows of this topic's subscriptions may be out of date.
    pub(crate) fn doubt(&self, topic: TopicKey) {
        self.table.lock().doubted.insert(topic);
        self.news.notify_one();
    }

    pub(crate) fn take_touched(&self) -> BTreeSet<TriggerId> {
        std::mem::take(&mut self.table.lock().touched)
    }

    pub(crate) fn take_doubted(&self) -> BTreeSet<TopicKey> {
        std::mem::take(&mut self.table.lock().doubted)
    }

    /// Until there is something new.
    pub(crate) async fn changed(&self) {
        self.news.notified().await;
    }

    /// Runs of a subscription that have not ended.
    pub(crate) fn under_way(&self, id: TriggerId) -> u32 {
        self.table.lock().under_way.get(&id).copied().unwrap_or_default()
    }

    /// Runs are about to be enqueued; before that, since they may end at once.
    pub(crate) fn begin(&self, id: TriggerId, runs: &[RunId]) {
        let mut table = self.table.lock();
        table.runs.extend(runs.iter().map(|run| (*run, id)));
        *table.under_way.entry(id).or_default() += u32::try_from(runs.len()).unwrap_or(u32::MAX);
    }

    /// A run has ended, or was not enqueued. Runs of others are none of this.
    pub(crate) fn ended(&self, run: RunId) {
        let mut table = self.table.lock();
        let Some(id) = table.runs.remove(&run) else { return };
        if let Some(count) = table.under_way.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                table.under_way.remove(&id);
            }
        }
        table.touched.insert(id);
        drop(table);
        self.news.notify_one();
    }
}
