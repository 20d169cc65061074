//! The task that turns messages of topics into runs of the functions that subscribe.
//!
//! Messages leave their topic in the commit that enqueues the run that carries them, so a crash neither loses nor repeats
//! one. A subscription has only as many runs under way as its function can start soon. Further messages wait in the topic,
//! where they are counted and bounded, and fill later batches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use faas_ports::{HandOver, NewItem, TopicKey, WaitingMessage};
use faas_runs::accept::RunOptions;
use faas_runs::backlog_entry::BacklogEntry;
use faas_runs::batch;
use faas_runs::dispatch::Oversize;
use faas_runs::payload::Payload;
use faas_runs::route::Route;
use faas_types::{Batch, Fault, QueueTrigger, RunId, Timestamp, TopicName, TriggerId, TriggerSettings, limits};
use futures_util::StreamExt;

use super::accept::NewRun;
use super::batches::due_batches;
use super::record::TriggerState;
use super::service::Triggers;
use super::table::TriggerEntry;
use super::timer_queue::TimerQueue;

/// Delay before a failed step is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// Subscriptions that are served concurrently; their commits share an fsync.
const AT_ONCE: usize = 64;
/// The most runs of one commit.
const RUNS_AT_ONCE: u32 = 16;
/// The most runs of a subscription that are under way.
const UNDER_WAY_MAX: u32 = 256;
/// The most messages that are read together.
const LOOK_MAX: u32 = 2_000;
/// The subscriptions that the store has, by topic.
type StoredSubscriptions = BTreeMap<TopicKey, BTreeSet<TriggerId>>;

/// Hands messages over to runs.
pub(super) struct MessageDispatcher {
    triggers: Arc<Triggers>,
    timer_queue: TimerQueue,
    /// `None` before the store was read, and after a write to it failed.
    stored: Option<StoredSubscriptions>,
    /// Every subscription has to be compared with the store and served.
    is_stale: bool,
    /// The time of the last round.
    last: Timestamp,
}

// === impl MessageDispatcher ===

impl MessageDispatcher {
    pub(super) fn new(triggers: Arc<Triggers>) -> Self {
        let last = triggers.clock.now();
        Self { triggers, timer_queue: TimerQueue::default(), stored: None, is_stale: true, last }
    }

    /// Hands messages over until the server stops.
    pub(super) async fn run(mut self) {
        while !self.triggers.lifecycle.is_stopping() {
            self.reconcile().await;
            self.serve_due().await;
            self.rest().await;
        }
    }

    /// Stores which subscriptions were added or removed. If any were, all of them become due.
    async fn reconcile(&mut self) {
        let triggers = &self.triggers;
        let now = triggers.clock.now();
        // After the clock was moved back, times in the queue may lie far ahead.
        let is_earlier = now < std::mem::replace(&mut self.last, now);
        self.is_stale |= triggers.table.take_queues_changed() || is_earlier;
        let doubted = triggers.subscriptions.take_doubted();
        if !self.is_stale && doubted.is_empty() {
            return;
        }
        match triggers.reconcile_subscriptions(&mut self.stored, &doubted).await {
            Ok(ids) => {
                self.is_stale = false;
                ids.into_iter().for_each(|id| self.timer_queue.set(id, Some(now)));
            }
            Err(fault) => {
                tracing::error!(error = %fault, "the subscriptions of topics are not stored; it is tried again");
                doubted.into_iter().for_each(|topic| triggers.subscriptions.doubt(topic));
                self.is_stale = true;
                tokio::select! {
                    () = triggers.lifecycle.stopped() => {}
                    () = tokio::time::sleep(TRY_AGAIN) => {}
                }
            }
        }
    }

    /// Serves each subscription that is due once.
    async fn serve_due(&mut self) {
        let triggers = &self.triggers;
        let now = triggers.clock.now();
        triggers.subscriptions.take_touched().into_iter().for_each(|id| self.timer_queue.set(id, Some(now)));
        let served = futures_util::stream::iter(self.timer_queue.take_due(now)).map(|id| {
            let triggers = Arc::clone(triggers);
            async move { (id, triggers.serve(id).await) }
        });
        let mut served = served.buffer_unordered(AT_ONCE);
        while let Some((id, at)) = served.next().await {
            self.timer_queue.set(id, at);
        }
    }

    /// Waits until something is due or there is news.
    async fn rest(&mut self) {
        let triggers = &self.triggers;
        let due = self.timer_queue.next().map(|at| at.since(triggers.clock.now()));
        let wait = if self.is_stale { Duration::ZERO } else { due.map_or(TRY_AGAIN, |due| due.min(TRY_AGAIN)) };
        tokio::select! {
            () = triggers.lifecycle.stopped() => {}
            () = triggers.table.queues_changed() => {}
            () = triggers.subscriptions.changed() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

// === impl Triggers ===

impl Triggers {
    /// Stores every subscription that was added or removed, and those of doubted topics again. Returns all subscriptions.
    async fn reconcile_subscriptions(
        &self,
        known: &mut Option<StoredSubscriptions>,
        doubted: &BTreeSet<TopicKey>,
    ) -> Result<Vec<TriggerId>, Fault> {
        let store = &self.topic_store;
        let mut stored = match known.take() {
            Some(known) => known,
            None => {
                let mut stored = StoredSubscriptions::new();
                for (project, depth) in store.topics(None).await? {
                    let key = TopicKey { project, name: depth.name };
                    let state = store.topic(&key).await?;
                    let ids = state.into_iter().flat_map(|state| state.subscriptions).map(|one| one.trigger);
                    stored.insert(key, ids.collect());
                }
                stored
            }
        };
        let wanted = self.table.queues();
        let topics: BTreeSet<TopicKey> = stored.keys().chain(wanted.keys()).chain(doubted).cloned().collect();
        for topic in topics {
            let ids = wanted.get(&topic).cloned().unwrap_or_default();
            if stored.get(&topic) != Some(&ids) || doubted.contains(&topic) {
                // After a failure `known` stays `None`, and everything is read and compared again.
                store.subscribe(&topic, &ids.iter().copied().collect::<Vec<_>>()).await?;
            }
            if ids.is_empty() {
                stored.remove(&topic);
            } else {
                stored.insert(topic, ids);
            }
        }
        *known = Some(stored);
        Ok(wanted.into_values().flatten().collect())
    }

    /// Hands over the messages of a subscription that are due. Returns when it is due again without news.
    async fn serve(self: &Arc<Self>, id: TriggerId) -> Option<Timestamp> {
        let entry = self.table.by_id(id)?;
        let TriggerSettings::Queue(queue) = &entry.record.settings else { return None };
        if !entry.record.enabled {
            return None;
        }
        match self.hand_out(&entry, queue).await {
            Ok(next) => next,
            Err(fault) => {
                tracing::warn!(trigger_id = %id, error = %fault, "messages are not handed over; it is tried again");
                let now = self.clock.now();
                let refused = |state: &mut TriggerState| state.note_refusal(&fault.message, now);
                self.states.note(entry.record.project, id, refused);
                Some(now.plus(TRY_AGAIN))
            }
        }
    }

    async fn hand_out(
        self: &Arc<Self>,
        entry: &Arc<TriggerEntry>,
        queue: &QueueTrigger,
    ) -> Result<Option<Timestamp>, Fault> {
        let again = self.clock.now().plus(TRY_AGAIN);
        let (project, id) = (entry.record.project, entry.record.id);
        if self.catalog.by_id(project, entry.record.function).is_none_or(|function| !entry.has_alias(&function)) {
            return Ok(Some(again));
        }
        let route = self.route(entry).await?;
        let room = most_under_way(&route).saturating_sub(self.subscriptions.under_way(id)).min(RUNS_AT_ONCE);
        if room == 0 {
            // The end of a run makes it due again.
            return Ok(None);
        }
        let topic = TopicKey { project, name: queue.topic.clone() };
        let size = u32::from(queue.batch_size).max(1);
        let most = room.min((LOOK_MAX / size).max(1)) * size;
        let bytes = 2 * limits::BATCH_BYTES_MAX as u64;
        let Some((after, waiting)) = self.topic_store.peek(&topic, id, most, bytes).await? else {
            self.subscriptions.doubt(topic);
            return Ok(Some(again));
        };
        let (mut batches, next) = due_batches(&waiting, queue, self.clock.now());
        batches.truncate(room as usize);
        let (mut items, mut entries, mut to) = (Vec::new(), Vec::new(), after);
        for batch in batches {
            let messages = &waiting[batch];
            let item = self.batch_item(&route, entry, &queue.topic, messages).await?;
            // `Alone`, since accepted messages must not stay in the topic for ever.
            match BacklogEntry::of(&self.runs, &route, item.footprint, Oversize::Alone) {
                Ok(entry) => entries.push(entry),
                Err(fault) if items.is_empty() => return Err(fault),
                // The next call reports the refusal.
                Err(_) => break,
            }
            items.push(item);
            to = messages.last().map_or(to, |last| last.seq);
        }
        if items.is_empty() {
            return Ok(next);
        }
        let is_over = self.enqueue_batches(entry, HandOver { topic, subscription: id, after, to, items }).await?;
        if is_over {
            entries.iter_mut().for_each(BacklogEntry::keep);
        }
        // More messages may wait than were read.
        Ok(Some(self.clock.now()))
    }

    /// Moves messages into runs. False if the subscription's mark was not where it was read, and nothing changed.
    async fn enqueue_batches(&self, entry: &TriggerEntry, over: HandOver) -> Result<bool, Fault> {
        let record = &entry.record;
        let runs: Vec<RunId> = over.items.iter().map(|item| item.record.id).collect();
        self.subscriptions.begin(record.id, &runs);
        let outcome = self.topic_store.hand_over(over).await;
        if !matches!(&outcome, Ok(Some(_))) {
            runs.iter().for_each(|run| self.subscriptions.ended(*run));
        }
        if outcome?.is_none() {
            return Ok(false);
        }
        self.runs.dispatch.queues.sign((record.project, record.function));
        let now = self.clock.now();
        let note = |state: &mut TriggerState| runs.iter().for_each(|run| state.note_run(*run, now));
        self.states.note(record.project, record.id, note);
        Ok(true)
    }

    /// The run that carries a batch.
    async fn batch_item(
        self: &Arc<Self>,
        route: &Route,
        entry: &Arc<TriggerEntry>,
        topic: &TopicName,
        messages: &[WaitingMessage],
    ) -> Result<NewItem, Fault> {
        let body = batch::body(messages.iter().map(|message| &message.payload[..]));
        let (trigger, path) = entry.record.target();
        let payload = Payload::Messages { trigger, path, topic: topic.clone() };
        let hops = messages.iter().map(|message| message.hops).max().unwrap_or_default();
        let messages = u16::try_from(messages.len()).unwrap_or(u16::MAX);
        let options = RunOptions { batch: Some(Batch { messages, left: None }), hops, ..RunOptions::default() };
        // The item holds the messages itself; no body is stored apart.
        Ok(self.runs.item(route, NewRun::of(entry, payload, body).request, options).await?.item)
    }
}

/// Twice the function's concurrency, so that the next batch is enqueued when one ends.
fn most_under_way(route: &Route) -> u32 {
    let settings = &route.version.settings;
    let each = settings.scaling.concurrency.unwrap_or(route.version.concurrency).max(1);
    settings.scaling.max.saturating_mul(each).saturating_mul(2).clamp(1, UNDER_WAY_MAX)
}
