//! The task that hands messages over to the functions that subscribe to their topics.
//!
//! Messages leave their topic in the commit that enqueues the run that carries them, so a crash never finds one twice or
//! not at all. A subscription has no more runs under way than its function can take up soon: what is beyond that waits in
//! the topic, where it is seen and bounded, and makes full batches.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use faas_ports::{HandOver, NewItem, TopicKey, WaitingMessage};
use faas_runs::accept::RunOptions;
use faas_runs::batch;
use faas_runs::call::Route;
use faas_runs::dispatch::{BacklogEntry, Oversize};
use faas_types::{Batch, Fault, QueueTrigger, RunId, Timestamp, TriggerId, TriggerSettings, limits};
use futures_util::StreamExt;

use super::accept::NewRun;
use super::table::TriggerEntry;
use super::timer_queue::TimerQueue;
use crate::engine::Engine;

/// When something is tried again that could not be done.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// Subscriptions that are served at once; their commits share an fsync.
const AT_ONCE: usize = 64;
/// Runs of one commit.
const RUNS_AT_ONCE: u32 = 16;
/// Runs of a subscription that are under way at the most.
const UNDER_WAY_MAX: u32 = 256;
/// Messages that are looked at together.
const LOOK_MAX: u32 = 2_000;
/// The header that names the topic.
const TOPIC: &str = "x-faas-topic";

/// The subscriptions that the store is known to have.
type Known = BTreeMap<TopicKey, BTreeSet<TriggerId>>;

/// Hands messages over until the engine stops.
pub(crate) async fn run(engine: Engine) {
    let last = engine.core.clock.now();
    let mut attendant = Attendant { engine, timer_queue: TimerQueue::default(), known: None, is_stale: true, last };
    while !attendant.engine.core.lifecycle.is_stopping() {
        attendant.keep_up().await;
        attendant.serve_due().await;
        attendant.rest().await;
    }
}

/// The task's own state.
struct Attendant {
    engine: Engine,
    timer_queue: TimerQueue,
    known: Option<Known>,
    /// Every subscription has to be looked at.
    is_stale: bool,
    /// The latest time seen.
    last: Timestamp,
}

// === impl Attendant ===

impl Attendant {
    /// Lets the store know of subscriptions that came or went, and looks at all of them then.
    async fn keep_up(&mut self) {
        let core = &self.engine.core;
        let now = core.clock.now();
        // Times of a clock that was moved back may lie far ahead.
        let is_earlier = now < std::mem::replace(&mut self.last, now);
        self.is_stale |= core.triggers.take_queue_news() || is_earlier;
        let doubted = core.topics.tracker.take_doubted();
        if !self.is_stale && doubted.is_empty() {
            return;
        }
        match self.engine.reconcile_subscriptions(&mut self.known, &doubted).await {
            Ok(ids) => {
                self.is_stale = false;
                ids.into_iter().for_each(|id| self.timer_queue.set(id, Some(now)));
            }
            Err(fault) => {
                tracing::error!(error = %fault, "the subscriptions of topics are not stored; it is tried again");
                doubted.into_iter().for_each(|topic| core.topics.tracker.doubt(topic));
                self.is_stale = true;
                tokio::select! {
                    () = core.lifecycle.stopped() => {}
                    () = tokio::time::sleep(TRY_AGAIN) => {}
                }
            }
        }
    }

    /// Serves each subscription that is due once.
    async fn serve_due(&mut self) {
        let core = Arc::clone(&self.engine.core);
        let now = core.clock.now();
        core.topics.tracker.take_touched().into_iter().for_each(|id| self.timer_queue.set(id, Some(now)));
        let turns = futures_util::stream::iter(self.timer_queue.take_due(now)).map(|id| {
            let engine = self.engine.clone();
            async move { (id, engine.serve(id).await) }
        });
        let mut turns = turns.buffer_unordered(AT_ONCE);
        while let Some((id, at)) = turns.next().await {
            self.timer_queue.set(id, at);
        }
    }

    /// Until something is due or new.
    async fn rest(&mut self) {
        let core = &self.engine.core;
        let due = self.timer_queue.next().map(|at| at.since(core.clock.now()));
        let wait = if self.is_stale { Duration::ZERO } else { due.map_or(TRY_AGAIN, |due| due.min(TRY_AGAIN)) };
        tokio::select! {
            () = core.lifecycle.stopped() => {}
            () = core.triggers.queues_changed() => {}
            () = core.topics.tracker.changed() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

// === impl Engine ===

impl Engine {
    /// Lets the store know of every subscription that came or went, and of those in doubt. Returns all there are.
    async fn reconcile_subscriptions(
        &self,
        known: &mut Option<Known>,
        doubted: &BTreeSet<TopicKey>,
    ) -> Result<Vec<TriggerId>, Fault> {
        let store = &self.core.topics.store;
        let mut stored = match known.take() {
            Some(known) => known,
            None => {
                let mut stored = Known::new();
                for (project, depth) in store.topics(None).await? {
                    let key = TopicKey { project, name: depth.name };
                    let state = store.topic(&key).await?;
                    let ids = state.into_iter().flat_map(|state| state.subscriptions).map(|one| one.trigger);
                    stored.insert(key, ids.collect());
                }
                stored
            }
        };
        let wanted = self.core.triggers.queues();
        let topics: BTreeSet<TopicKey> = stored.keys().chain(wanted.keys()).chain(doubted).cloned().collect();
        for topic in topics {
            let ids = wanted.get(&topic).cloned().unwrap_or_default();
            if stored.get(&topic) != Some(&ids) || doubted.contains(&topic) {
                // What fails leaves nothing known, and all is compared again.
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

    /// Hands over what is due of one subscription and says when to look again by itself.
    async fn serve(&self, id: TriggerId) -> Option<Timestamp> {
        let entry = self.core.triggers.by_id(id)?;
        let TriggerSettings::Queue(queue) = &entry.record.settings else { return None };
        if !entry.record.enabled {
            return None;
        }
        match self.hand_out(&entry, queue).await {
            Ok(next) => next,
            Err(fault) => {
                tracing::warn!(trigger_id = %id, error = %fault, "messages are not handed over; it is tried again");
                let now = self.core.clock.now();
                let refused = |state: &mut super::TriggerState| state.note_refusal(&fault.message, now);
                self.core.trigger_states.note(entry.record.project, id, refused);
                Some(now.plus(TRY_AGAIN))
            }
        }
    }

    async fn hand_out(&self, entry: &Arc<TriggerEntry>, queue: &QueueTrigger) -> Result<Option<Timestamp>, Fault> {
        let core = &self.core;
        let again = core.clock.now().plus(TRY_AGAIN);
        let (project, id) = (entry.record.project, entry.record.id);
        if core.catalog.by_id(project, entry.record.function).is_none_or(|function| !entry.has_alias(&function)) {
            return Ok(Some(again));
        }
        let route = core.trigger_route(entry).await?;
        let room = most_under_way(&route).saturating_sub(core.topics.tracker.under_way(id)).min(RUNS_AT_ONCE);
        if room == 0 {
            // The end of a run brings it back.
            return Ok(None);
        }
        let topic = TopicKey { project, name: queue.topic.clone() };
        let size = u32::from(queue.batch_size).max(1);
        let most = room.min((LOOK_MAX / size).max(1)) * size;
        let bytes = 2 * limits::BATCH_BYTES_MAX as u64;
        let Some((after, waiting)) = core.topics.store.peek(&topic, id, most, bytes).await? else {
            core.topics.tracker.doubt(topic);
            return Ok(Some(again));
        };
        let (mut batches, next) = batches(&waiting, queue, core.clock.now());
        batches.truncate(room as usize);
        let (mut items, mut entries, mut to) = (Vec::new(), Vec::new(), after);
        for batch in batches {
            let messages = &waiting[batch];
            let item = self.batch_item(&route, entry, messages).await?;
            // Its messages were accepted: they must not stay in the topic for ever.
            match BacklogEntry::of(&core.runs, &route, item.footprint, Oversize::Alone) {
                Ok(entry) => entries.push(entry),
                Err(fault) if items.is_empty() => return Err(fault),
                // The rest is refused the next time.
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
        // There may be more than was looked at.
        Ok(Some(core.clock.now()))
    }

    /// Whether the subscription was still at its place, and the messages are part of runs now.
    async fn enqueue_batches(&self, entry: &TriggerEntry, over: HandOver) -> Result<bool, Fault> {
        let (core, record) = (&self.core, &entry.record);
        let runs: Vec<RunId> = over.items.iter().map(|item| item.record.id).collect();
        core.topics.tracker.begin(record.id, &runs);
        let outcome = core.topics.store.hand_over(over).await;
        if !matches!(&outcome, Ok(Some(_))) {
            runs.iter().for_each(|run| core.topics.tracker.ended(*run));
        }
        if outcome?.is_none() {
            return Ok(false);
        }
        core.runs.dispatch.queues.sign((record.project, record.function));
        let now = core.clock.now();
        let note = |state: &mut super::TriggerState| runs.iter().for_each(|run| state.note_run(*run, now));
        core.trigger_states.note(record.project, record.id, note);
        Ok(true)
    }

    async fn batch_item(
        &self,
        route: &Route,
        entry: &Arc<TriggerEntry>,
        messages: &[WaitingMessage],
    ) -> Result<NewItem, Fault> {
        let body = batch::body(messages.iter().map(|message| &message.payload[..]));
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        if let TriggerSettings::Queue(queue) = &entry.record.settings {
            headers.push((TOPIC.to_owned(), queue.topic.to_string()));
        }
        let hops = messages.iter().map(|message| message.hops).max().unwrap_or_default();
        let messages = u16::try_from(messages.len()).unwrap_or(u16::MAX);
        let later = RunOptions { batch: Some(Batch { messages, left: None }), hops, ..RunOptions::default() };
        // Messages are kept in the item itself.
        Ok(self.runs.item(route, NewRun::of(entry, headers, body).request, later).await?.item)
    }
}

/// Twice what the function works on at once, so that the next batch is there when one ends.
fn most_under_way(route: &Route) -> u32 {
    let settings = &route.version.settings;
    let each = settings.scaling.concurrency.unwrap_or(route.version.concurrency).max(1);
    settings.scaling.max.saturating_mul(each).saturating_mul(2).clamp(1, UNDER_WAY_MAX)
}

/// The batches that are due, and when the rest is: a batch is due when it is full, or its first message has waited for the
/// window.
fn batches(waiting: &[WaitingMessage], queue: &QueueTrigger, now: Timestamp) -> (Vec<Range<usize>>, Option<Timestamp>) {
    let (mut due, mut begin, mut bytes) = (Vec::new(), 0, 0);
    for (index, message) in waiting.iter().enumerate() {
        let is_over = bytes + message.payload.len() > limits::BATCH_BYTES_MAX;
        if index > begin && (is_over || index - begin == usize::from(queue.batch_size)) {
            due.push(begin..index);
            (begin, bytes) = (index, 0);
        }
        bytes += message.payload.len();
    }
    let Some(first) = waiting.get(begin) else { return (due, None) };
    let is_full = waiting.len() - begin == usize::from(queue.batch_size) || bytes >= limits::BATCH_BYTES_MAX;
    let window = queue.batch_window.get();
    // A message from the future, after the clock was moved back, has waited long enough.
    if is_full || first.at > now || now.since(first.at) >= window {
        due.push(begin..waiting.len());
        return (due, None);
    }
    (due, Some(first.at.plus(window)))
}

#[cfg(test)]
mod tests {
    use faas_types::Span;
    use proptest::prelude::*;

    use super::*;

    fn queue(batch_size: u16, window: u64) -> QueueTrigger {
        QueueTrigger {
            name: "q".parse().expect("a name"),
            topic: "t".parse().expect("a name"),
            batch_size,
            batch_window: Span::from_millis(window),
            retry: None,
            path: "/".to_owned(),
        }
    }

    proptest! {
        #[test]
        fn batches_are_whole_in_order_and_bounded(
            sizes in prop::collection::vec(0_usize..(3 << 20), 0..30), batch_size in 1_u16..6, window in 0_u64..50, late in 0_u64..60,
        ) {
            let waiting: Vec<_> = sizes.iter().zip(1..).map(|(size, seq)| WaitingMessage {
                seq, at: Timestamp::from_millis(100 + seq), hops: 0, payload: vec![0; *size].into(),
            }).collect();
            let now = Timestamp::from_millis(100 + late);
            let (due, next) = batches(&waiting, &queue(batch_size, window), now);
            let mut at = 0;
            for batch in &due {
                prop_assert_eq!(batch.start, at);
                prop_assert!(batch.end > at);
                at = batch.end;
                let bytes: usize = sizes[batch.clone()].iter().sum();
                prop_assert!(batch.len() <= usize::from(batch_size) && (batch.len() == 1 || bytes <= limits::BATCH_BYTES_MAX));
            }
            prop_assert_eq!(next.is_some(), at < waiting.len());
            prop_assert!(next.is_none_or(|next| next > now), "it would spin");
            prop_assert!(window > 0 || at == waiting.len(), "without a window nothing waits");
        }
    }
}
