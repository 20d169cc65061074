//! Messages that wait for the functions that subscribe to their topic.

use async_trait::async_trait;
use bytes::Bytes;
use faas_types::{ProjectId, Timestamp, TopicName, TriggerId};

use crate::{Enqueued, NewItem, PortResult};

/// A topic by its owner and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicKey {
    /// The owner.
    pub project: ProjectId,
    /// The name.
    pub name: TopicName,
}

/// A message to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// When it was sent.
    pub at: Timestamp,
    /// How many runs led to it, each caused by the one before.
    pub hops: u32,
    /// What subscribers get.
    pub payload: Bytes,
}

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingMessage {
    /// Its place in the order of sending, within the store; from 1.
    pub seq: u64,
    /// When it was sent.
    pub at: Timestamp,
    /// How many runs led to it, each caused by the one before.
    pub hops: u32,
    /// What subscribers get.
    pub payload: Bytes,
}

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicBounds {
    /// Messages of the topic.
    pub topic_messages: u64,
    /// Bytes of the topic.
    pub topic_bytes: u64,
    /// Messages of all topics of the project.
    pub project_messages: u64,
    /// Bytes of all topics of the project.
    pub project_bytes: u64,
    /// Topics of the project.
    pub topics: u64,
}

/// What became of messages that were sent together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// All of them are kept.
    Kept,
    /// The topic would pass its bounds; none is kept.
    TopicFull,
    /// The project would pass its bounds; none is kept.
    ProjectFull,
    /// The topic would be one too many; none is kept.
    TooManyTopics,
}

/// Messages that leave a topic for runs.
#[derive(Clone, Debug)]
pub struct HandOver {
    /// The topic.
    pub topic: TopicKey,
    /// Who gets them.
    pub subscription: TriggerId,
    /// The messages that the subscription has had before, up to this place.
    pub after: u64,
    /// Those that it has had then.
    pub to: u64,
    /// The runs that carry them.
    pub items: Vec<NewItem>,
}

/// A topic as listings show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDepth {
    /// The name.
    pub name: TopicName,
    /// Messages that wait for one subscription at least, or for the first one.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest of them was sent.
    pub oldest: Option<Timestamp>,
}

/// How far a subscription of a topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Whose it is.
    pub trigger: TriggerId,
    /// Messages that wait for it.
    pub waiting: u64,
}

/// A topic with its subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// The topic.
    pub depth: TopicDepth,
    /// Its subscriptions, by trigger.
    pub subscriptions: Vec<Subscription>,
}

/// Durable topics. Each subscription gets each message once, in the order of sending, as part of a run: the commit that
/// takes a message from the topic is the one that enqueues the run. A topic is there while it has messages or
/// subscriptions.
#[async_trait]
pub trait Topics: Send + Sync {
    /// Keeps messages, fsynced, all of them or none. `subscriptions` are those that the topic has; one that is new to the
    /// store begins here.
    async fn append(
        &self,
        topic: &TopicKey,
        messages: Vec<NewMessage>,
        subscriptions: &[TriggerId],
        bounds: TopicBounds,
    ) -> PortResult<Appended>;

    /// Makes these the subscriptions of a topic. A new one begins with the oldest message where it is the only one, and
    /// with the next one otherwise. Messages that wait for no subscription go, unless none is left: then they wait for
    /// the first.
    async fn subscribe(&self, topic: &TopicKey, subscriptions: &[TriggerId]) -> PortResult<()>;

    /// The oldest messages that a subscription has not had, at most `max` and together at most `bytes`, unless the first alone
    /// is larger. Also the position of the subscription. `None` when the subscription is unknown.
    async fn peek(
        &self,
        topic: &TopicKey,
        subscription: TriggerId,
        max: u32,
        bytes: u64,
    ) -> PortResult<Option<(u64, Vec<WaitingMessage>)>>;

    /// Moves messages into runs, in one commit. `None`, and nothing is changed, when the position of the subscription
    /// has changed meanwhile.
    ///
    /// # Errors
    /// Those of [`RunQueue::enqueue`](crate::RunQueue::enqueue).
    async fn hand_over(&self, hand_over: HandOver) -> PortResult<Option<Vec<Enqueued>>>;

    /// Removes every message of a topic and returns how many. Messages that are part of a run stay with it.
    async fn purge(&self, topic: &TopicKey) -> PortResult<u64>;

    /// The topics of a project, by name; of all projects without one.
    async fn topics(&self, project: Option<ProjectId>) -> PortResult<Vec<(ProjectId, TopicDepth)>>;

    /// One topic.
    async fn topic(&self, topic: &TopicKey) -> PortResult<Option<TopicState>>;
}
