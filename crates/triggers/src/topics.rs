//! Topics: messages are sent to them and wait there for the triggers that subscribe.

use faas_ports::{Appended, NewMessage, TopicBounds, TopicDepth, TopicKey};
use faas_runs::accept::COMMIT_PATIENCE;
use faas_types::{Code, Fault, FunctionName, MessageId, ProjectId, Reason, TopicName, TriggerName, limits};

use super::message::OutgoingMessage;
use super::service::Triggers;

const BOUNDS: TopicBounds = TopicBounds {
    topic_messages: limits::TOPIC_MESSAGES_MAX,
    topic_bytes: limits::TOPIC_BYTES_MAX,
    project_messages: limits::PROJECT_MESSAGES_MAX,
    project_bytes: limits::PROJECT_MESSAGE_BYTES_MAX,
    topics: limits::TOPICS_MAX,
};

/// A topic with its subscribers.
#[derive(Clone, Debug)]
pub struct TopicSummary {
    /// How many messages wait, and their bytes.
    pub depth: TopicDepth,
    /// The triggers that get its messages, by function and name.
    pub subscribers: Vec<SubscriberState>,
}

/// A queue trigger that subscribes to a topic.
#[derive(Clone, Debug)]
pub struct SubscriberState {
    /// The function that it calls.
    pub function: FunctionName,
    /// The trigger's name.
    pub trigger: TriggerName,
    /// Whether it makes runs.
    pub enabled: bool,
    /// Messages that wait for it.
    pub waiting: u64,
}

// === impl Triggers ===

impl Triggers {
    /// Commits messages to a topic, all of them or none, before it returns. Every subscriber gets them.
    ///
    /// # Errors
    /// `FN_011` and `FN_012` for a message that is too large or malformed, `FN_007` and `FN_015` when too much waits,
    /// `FN_018` when the disk is full. No message was committed then.
    pub async fn send(
        &self,
        project: ProjectId,
        topic: &TopicName,
        messages: Vec<OutgoingMessage>,
    ) -> Result<Vec<MessageId>, Fault> {
        self.check_ready()?;
        self.append(project, topic, messages, 0).await
    }

    /// The topics of a project that have messages or subscribers, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn topics(&self, project: ProjectId) -> Result<Vec<TopicDepth>, Fault> {
        let topics = self.topic_store.topics(Some(project)).await?;
        Ok(topics.into_iter().map(|(_, depth)| depth).collect())
    }

    /// A topic with its subscribers.
    ///
    /// # Errors
    /// `FN_013` when it has neither messages nor subscribers.
    pub async fn topic(&self, project: ProjectId, topic: &TopicName) -> Result<TopicSummary, Fault> {
        let key = TopicKey { project, name: topic.clone() };
        let state = self.topic_store.topic(&key).await?.ok_or_else(|| no_such(topic))?;
        let subscribers = state.subscriptions.iter().filter_map(|subscription| {
            let entry = self.table.by_id(subscription.trigger)?;
            let function = self.catalog.by_id(project, entry.record.function)?;
            Some(SubscriberState {
                function: function.record.name.clone(),
                trigger: entry.record.name().clone(),
                enabled: entry.record.enabled,
                waiting: subscription.waiting,
            })
        });
        let mut subscribers: Vec<_> = subscribers.collect();
        subscribers.sort_by(|a, b| (&a.function, &a.trigger).cmp(&(&b.function, &b.trigger)));
        Ok(TopicSummary { depth: state.depth, subscribers })
    }

    /// Deletes the messages that wait in a topic and returns how many. Messages that are part of a run stay with it.
    ///
    /// # Errors
    /// `FN_013` when there is no such topic.
    pub async fn purge_topic(&self, project: ProjectId, topic: &TopicName) -> Result<u64, Fault> {
        let key = TopicKey { project, name: topic.clone() };
        if self.topic_store.topic(&key).await?.is_none() {
            return Err(no_such(topic));
        }
        Ok(self.topic_store.purge(&key).await?)
    }

    /// Commits messages from outside, or from a run at the end of a chain of `hops` runs.
    pub(super) async fn append(
        &self,
        project: ProjectId,
        topic: &TopicName,
        messages: Vec<OutgoingMessage>,
        hops: u32,
    ) -> Result<Vec<MessageId>, Fault> {
        if messages.is_empty() || messages.len() > limits::MESSAGES_SENT_MAX {
            let message = format!("{} messages; one request takes 1 to {}", messages.len(), limits::MESSAGES_SENT_MAX);
            return Err(Fault::new(Code::BadRequest, message));
        }
        let at = self.clock.now();
        let (mut ids, mut kept) = (Vec::with_capacity(messages.len()), Vec::with_capacity(messages.len()));
        for message in messages {
            message.check()?;
            let id: MessageId = self.ids.mint(at);
            kept.push(NewMessage { at, hops, payload: message.payload(id, at)? });
            ids.push(id);
        }
        let key = TopicKey { project, name: topic.clone() };
        let subscribers = self.table.subscribers(&key);
        let appended = self.topic_store.append(&key, kept, &subscribers, BOUNDS);
        let appended = tokio::time::timeout(COMMIT_PATIENCE, appended).await.map_err(|_| {
            Fault::new(Code::Unavailable, "it is not known whether the messages are kept").with_retry_after(1)
        })??;
        refuse(appended, topic)?;
        if self.table.subscribers(&key) != subscribers {
            // A subscription that was removed meanwhile must not hold messages back.
            self.subscriptions.doubt(key);
        }
        self.subscriptions.touch(subscribers);
        Ok(ids)
    }
}

fn refuse(appended: Appended, topic: &TopicName) -> Result<(), Fault> {
    let fault = match appended {
        Appended::Kept => return Ok(()),
        Appended::TopicFull => Fault::new(Code::RateLimited, format!("too many messages of `{topic}` wait already"))
            .with_command_hint("see who takes them: faas topics get NAME")
            .with_retry_after(5),
        Appended::ProjectFull => Fault::new(Code::Overloaded, "too many messages of this project wait already")
            .with_command_hint("see where they wait: faas topics list")
            .with_retry_after(10),
        Appended::TooManyTopics => {
            Fault::new(Reason::LimitReached, format!("a project has at most {} topics", limits::TOPICS_MAX))
                .with_command_hint("purge topics that nobody subscribes to: faas topics purge NAME")
                .with_retry_after(60)
        }
    };
    Err(fault)
}

fn no_such(topic: &TopicName) -> Fault {
    Fault::new(Reason::TopicNotFound, format!("the topic `{topic}` has no messages and no subscribers"))
        .with_command_hint("list topics with `faas topics list`")
}
