//! Publish and subscribe: news that may be lost, for followers and for other nodes.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::PortResult;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Dot-separated words, such as `logs.prj_….fn_…`.
    pub subject: String,
    /// The message's bytes.
    pub payload: Bytes,
}

/// A subscriber's messages. A slow subscriber loses the oldest and never slows the publisher.
pub type EventStream = BoxStream<'static, Event>;

/// At-most-once messages to whoever listens now.
#[async_trait]
pub trait Events: Send + Sync {
    /// Sends to present subscribers.
    async fn publish(&self, event: Event) -> PortResult<()>;

    /// Messages whose subject matches `pattern`: words match themselves, `*` one word, a last `>` one or more.
    async fn subscribe(&self, pattern: &str) -> PortResult<EventStream>;
}
