//! Messages about ended runs, until they are delivered or given up.

use async_trait::async_trait;
use bytes::Bytes;
use faas_types::{Callback, ProjectId, RunId, Timestamp};

use crate::PortResult;

/// A message to send about a run's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCallback {
    /// Where it goes.
    pub url: String,
    /// What deliveries are counted by: the URL's host.
    pub host: String,
    /// What is sent, the same in every attempt.
    pub body: Bytes,
    /// When the run ended. The first attempt may begin at once.
    pub ended_at: Timestamp,
}

/// A message that was taken for an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenCallback {
    /// The owner.
    pub project: ProjectId,
    /// The run that ended.
    pub run: RunId,
    /// The message.
    pub callback: NewCallback,
    /// Attempts, this one included.
    pub attempts: u32,
}

/// Which messages to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeCallbacks {
    /// Hosts behind this one come first, then the others, so that none is passed over for ever.
    pub after: String,
    /// Attempts under way, by host.
    pub busy: Vec<(String, u32)>,
    /// The maximum of attempts at one host, including those under way.
    pub per_host: u32,
    /// The maximum of messages.
    pub limit: u32,
    /// Those that are due.
    pub now: Timestamp,
    /// When what is taken may be taken again, unless its attempt is noted before.
    pub until: Timestamp,
}

/// What the messages of a project take that are not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallbackDepth {
    /// The owner.
    pub project: ProjectId,
    /// How many there are.
    pub messages: u64,
    /// The bytes of their bodies.
    pub bytes: u64,
}

/// Messages that are not delivered yet. They come in with the end of their run, by
/// [`RunQueue::settle`](crate::RunQueue::settle) and `withdraw`.
#[async_trait]
pub trait Callbacks: Send + Sync {
    /// When the next message becomes due.
    async fn next_callback(&self) -> PortResult<Option<Timestamp>>;

    /// Takes messages that are due, the longest due of each host first, and counts an attempt of each. A server that
    /// starts again may take at once what the one before had taken, as if that attempt had not been.
    async fn take_callbacks(&self, take: TakeCallbacks) -> PortResult<Vec<TakenCallback>>;

    /// Notes the end of an attempt in the run's record, where that is still kept, in one commit with when the next
    /// attempt may begin; without one the message is gone. What is gone already changes nothing. Whether it went now.
    async fn note_callback(
        &self,
        project: ProjectId,
        run: RunId,
        callback: Callback,
        again: Option<Timestamp>,
    ) -> PortResult<bool>;

    /// How many there are of every project. Reads all of them: for starts and tests.
    async fn callback_depths(&self) -> PortResult<Vec<CallbackDepth>>;
}
