//! Topics and their messages.

use std::collections::BTreeMap;

use bytes::Bytes;
use faas_proto::rest::{PurgedTopic, SendMessages, SentMessages, TopicList, TopicView};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use crate::client::segment;
use crate::{Client, ClientError, Rows};

/// The type of a body that holds several messages.
const BATCH: &str = "application/vnd.faas.messages+json";

/// A message to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicMessage {
    /// What it says.
    pub body: Bytes,
    /// What the body is.
    pub content_type: Option<String>,
    /// What else the sender says, by name.
    pub attributes: BTreeMap<String, String>,
}

// === impl Client ===

impl Client {
    /// Sends a message. Once this returns the message survives whatever happens to the server.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn send_message(&self, topic: &str, message: TopicMessage) -> Result<SentMessages, ClientError> {
        let mut request = self.request(Method::POST, &messages(topic)?)?.body(message.body);
        if let Some(kind) = message.content_type {
            request = request.header(CONTENT_TYPE, kind);
        }
        for (name, value) in message.attributes {
            request = request.header(format!("x-attribute-{name}"), value);
        }
        self.read(request).await
    }

    /// Sends messages together: all of them are kept or none.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn send_messages(&self, topic: &str, batch: &SendMessages) -> Result<SentMessages, ClientError> {
        let body = serde_json::to_vec(batch).map_err(|error| ClientError::InvalidArgument(error.to_string()))?;
        let request = self.request(Method::POST, &messages(topic)?)?.header(CONTENT_TYPE, BATCH);
        self.read(request.body(body)).await
    }

    /// The topics of the project that have messages or subscribers.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn topics(&self, rows: &Rows) -> Result<TopicList, ClientError> {
        self.rows("api/v1/topics", &(), rows).await
    }

    /// A topic with its subscribers.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn topic(&self, topic: &str) -> Result<TopicView, ClientError> {
        self.get(&path(topic)?, &()).await
    }

    /// Forgets the messages of a topic.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn purge_topic(&self, topic: &str) -> Result<PurgedTopic, ClientError> {
        self.read(self.request(Method::DELETE, &messages(topic)?)?).await
    }
}

fn path(topic: &str) -> Result<String, ClientError> {
    Ok(format!("api/v1/topics/{}", segment(topic)?))
}

fn messages(topic: &str) -> Result<String, ClientError> {
    Ok(format!("{}/messages", path(topic)?))
}
