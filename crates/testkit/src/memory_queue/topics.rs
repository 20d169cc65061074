//! Topics in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use faas_ports::{
    Appended, Enqueued, HandOver, NewMessage, PortResult, Subscription, TopicBounds, TopicDepth, TopicKey, TopicState,
    Topics, WaitingMessage,
};
use faas_types::{ProjectId, TriggerId};

use super::MemoryQueue;

/// Every topic, and the number of the last message.
#[derive(Debug, Default)]
pub(super) struct TopicTable {
    last: u64,
    topics: BTreeMap<TopicKey, Topic>,
}

#[derive(Debug, Default)]
struct Topic {
    messages: BTreeMap<u64, NewMessage>,
    subscriptions: BTreeMap<TriggerId, u64>,
}

// === impl Topic ===

impl Topic {
    fn bytes(&self) -> u64 {
        self.messages.values().map(size).sum()
    }

    fn begin(&mut self, wanted: &[TriggerId]) {
        let newest = self.messages.keys().next_back().copied().unwrap_or_default();
        let after = if self.subscriptions.is_empty() { 0 } else { newest };
        for trigger in wanted {
            self.subscriptions.entry(*trigger).or_insert(after);
        }
    }

    fn free(&mut self) {
        if let Some(after) = self.subscriptions.values().min() {
            self.messages.retain(|seq, _| seq > after);
        }
    }

    fn depth(&self, key: &TopicKey) -> TopicDepth {
        TopicDepth {
            name: key.name.clone(),
            messages: self.messages.len() as u64,
            bytes: self.bytes(),
            oldest: self.messages.values().next().map(|message| message.at),
        }
    }
}

// === impl TopicTable ===

impl TopicTable {
    fn append(
        &mut self,
        key: &TopicKey,
        messages: Vec<NewMessage>,
        subscriptions: &[TriggerId],
        bounds: TopicBounds,
    ) -> Appended {
        let all = || self.topics.iter().filter(|(other, _)| other.project == key.project).map(|(_, topic)| topic);
        let (added, bytes) = (messages.len() as u64, messages.iter().map(size).sum::<u64>());
        let own = self.topics.get(key).map_or((0, 0), |topic| (topic.messages.len() as u64, topic.bytes()));
        let (count, size) =
            (all().map(|topic| topic.messages.len() as u64).sum::<u64>(), all().map(Topic::bytes).sum::<u64>());
        if !self.topics.contains_key(key) && all().count() as u64 >= bounds.topics {
            return Appended::TooManyTopics;
        }
        if own.0 + added > bounds.topic_messages || own.1 + bytes > bounds.topic_bytes {
            return Appended::TopicFull;
        }
        if count + added > bounds.project_messages || size + bytes > bounds.project_bytes {
            return Appended::ProjectFull;
        }
        let topic = self.topics.entry(key.clone()).or_default();
        topic.begin(subscriptions);
        for message in messages {
            self.last += 1;
            topic.messages.insert(self.last, message);
        }
        Appended::Kept
    }

    fn tidy(&mut self) {
        self.topics.retain(|_, topic| !topic.messages.is_empty() || !topic.subscriptions.is_empty());
    }
}

#[async_trait]
impl Topics for MemoryQueue {
    async fn append(
        &self,
        topic: &TopicKey,
        messages: Vec<NewMessage>,
        subscriptions: &[TriggerId],
        bounds: TopicBounds,
    ) -> PortResult<Appended> {
        Ok(self.state.lock().topics.append(topic, messages, subscriptions, bounds))
    }

    async fn subscribe(&self, key: &TopicKey, subscriptions: &[TriggerId]) -> PortResult<()> {
        let mut state = self.state.lock();
        let topic = state.topics.topics.entry(key.clone()).or_default();
        if subscriptions.is_empty() {
            topic.free();
        }
        topic.subscriptions.retain(|trigger, _| subscriptions.contains(trigger));
        topic.begin(subscriptions);
        topic.free();
        state.topics.tidy();
        Ok(())
    }

    async fn peek(
        &self,
        topic: &TopicKey,
        subscription: TriggerId,
        max: u32,
        bytes: u64,
    ) -> PortResult<Option<(u64, Vec<WaitingMessage>)>> {
        let state = self.state.lock();
        let Some(topic) = state.topics.topics.get(topic) else { return Ok(None) };
        let Some(after) = topic.subscriptions.get(&subscription).copied() else { return Ok(None) };
        let (mut found, mut total) = (Vec::new(), 0);
        for (seq, NewMessage { at, hops, payload }) in topic.messages.range(after + 1..).take(max as usize) {
            total += payload.len() as u64;
            if total > bytes && !found.is_empty() {
                break;
            }
            found.push(WaitingMessage { seq: *seq, at: *at, hops: *hops, payload: payload.clone() });
        }
        Ok(Some((after, found)))
    }

    async fn hand_over(&self, hand_over: HandOver) -> PortResult<Option<Vec<Enqueued>>> {
        let HandOver { topic, subscription, after, to, items } = hand_over;
        let (outcomes, shown) = {
            let mut state = self.state.lock();
            let place = |state: &super::State| {
                state.topics.topics.get(&topic).and_then(|topic| topic.subscriptions.get(&subscription).copied())
            };
            if place(&state) != Some(after) {
                return Ok(None);
            }
            let enqueued = state.enqueue(items)?;
            if let Some(topic) = state.topics.topics.get_mut(&topic) {
                topic.subscriptions.insert(subscription, to);
                topic.free();
            }
            enqueued
        };
        self.show(shown).await?;
        Ok(Some(outcomes))
    }

    async fn purge(&self, topic: &TopicKey) -> PortResult<u64> {
        let mut state = self.state.lock();
        let gone = state.topics.topics.get_mut(topic).map_or(0, |topic| std::mem::take(&mut topic.messages).len());
        state.topics.tidy();
        Ok(gone as u64)
    }

    async fn topics(&self, project: Option<ProjectId>) -> PortResult<Vec<(ProjectId, TopicDepth)>> {
        let state = self.state.lock();
        let wanted = state.topics.topics.iter().filter(|(key, _)| project.is_none_or(|project| key.project == project));
        Ok(wanted.map(|(key, topic)| (key.project, topic.depth(key))).collect())
    }

    async fn topic(&self, key: &TopicKey) -> PortResult<Option<TopicState>> {
        let state = self.state.lock();
        let Some(topic) = state.topics.topics.get(key) else { return Ok(None) };
        let waiting = |after: &u64| topic.messages.range(after + 1..).count() as u64;
        let subscriptions = topic.subscriptions.iter();
        let subscriptions =
            subscriptions.map(|(trigger, after)| Subscription { trigger: *trigger, waiting: waiting(after) });
        Ok(Some(TopicState { depth: topic.depth(key), subscriptions: subscriptions.collect() }))
    }
}

/// What a message counts for.
fn size(message: &NewMessage) -> u64 {
    message.payload.len() as u64 + 64
}
