//! Sending to the outside world.

use async_trait::async_trait;
use bytes::Bytes;

/// A message to post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundMessage {
    /// Where it goes.
    pub url: String,
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: Bytes,
}

/// Why a URL may not be sent to, as far as the URL alone tells.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlRefusal(pub String);

/// Why a message did not arrive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// It may not go there: another attempt would end the same way.
    #[error("{0}")]
    Refused(String),
    /// It could not be brought there.
    #[error("{0}")]
    Failed(String),
}

/// Posts messages. Never to an address that is not of the public internet, unless the operator allows it.
#[async_trait]
pub trait Outbound: Send + Sync {
    /// Checks a URL without looking its host up; returns the host, which deliveries are counted by.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&self, url: &str) -> Result<String, UrlRefusal>;

    /// Sends a message and returns the status that it was answered with; a redirection is an answer like any other.
    /// Takes at most some seconds.
    ///
    /// # Errors
    /// Why there is no answer.
    async fn post(&self, message: OutboundMessage) -> Result<u16, OutboundError>;
}
