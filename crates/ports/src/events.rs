//! Publish and subscribe: news that may be lost, for followers and for other nodes.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::{PortError, PortResult};

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

/// Which subjects a subscriber wants: words match themselves, `*` one word, a last `>` one or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPattern(String);

/// Messages to the current subscribers, delivered at most once.
#[async_trait]
pub trait Events: Send + Sync {
    /// Sends to present subscribers.
    async fn publish(&self, event: Event) -> PortResult<()>;

    /// Messages whose subject matches the [`SubjectPattern`].
    async fn subscribe(&self, pattern: &str) -> PortResult<EventStream>;
}

// === impl SubjectPattern ===

impl SubjectPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PortError::Invalid`] for an empty word, a blank, or a `>` that is not the last word.
    pub fn parse(pattern: &str) -> PortResult<Self> {
        let words = pattern.split('.').count();
        let fits = |(at, word): (usize, &str)| match word {
            "*" => true,
            ">" => at + 1 == words,
            word => is_word(word),
        };
        if pattern.split('.').enumerate().all(fits) {
            return Ok(Self(pattern.to_owned()));
        }
        Err(PortError::Invalid(format!("`{}` is not a subject pattern", pattern.escape_default())))
    }

    /// Whether a subject is wanted.
    #[must_use]
    pub fn matches(&self, subject: &str) -> bool {
        let mut words = subject.split('.');
        for wanted in self.0.split('.') {
            match (wanted, words.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(word)) if wanted == word => {}
                _ => return false,
            }
        }
        words.next().is_none()
    }
}

// === impl Event ===

impl Event {
    /// Checks that the subject is one or more words without wildcards.
    ///
    /// # Errors
    /// [`PortError::Invalid`] naming the subject.
    pub fn validate(&self) -> PortResult<()> {
        if self.subject.split('.').all(is_word) {
            return Ok(());
        }
        Err(PortError::Invalid(format!("`{}` is not a subject", self.subject.escape_default())))
    }
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && !word.contains(['*', '>']) && !word.contains(|c: char| c.is_whitespace() || c.is_control())
}
