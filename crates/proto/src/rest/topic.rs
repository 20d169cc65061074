//! Topics and their messages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::ListPage;

/// A topic that has messages or subscribers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TopicView {
    /// Its name, unique in the project.
    pub name: String,
    /// Messages that wait for one subscriber at least, or for the first one.
    pub depth: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest of them was sent.
    pub oldest_at: Option<String>,
    /// How long it has waited, in seconds.
    pub oldest_age_s: Option<u64>,
    /// Who gets the messages, where one topic was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscribers: Option<Vec<SubscriberView>>,
}

/// A trigger that gets the messages of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubscriberView {
    /// The function.
    pub function: String,
    /// Its trigger.
    pub trigger: String,
    /// Whether the trigger is switched on.
    pub enabled: bool,
    /// Messages that wait for it.
    pub waiting: u64,
}

/// The topics of a project, by name.
pub type TopicList = ListPage<TopicView>;

/// Messages to send together.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SendMessages {
    /// 1 to 1,000 of them.
    #[schema(min_items = 1, max_items = 1000)]
    pub messages: Vec<MessageBody>,
}

/// A message to send with others.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageBody {
    /// What it says: any JSON, or text where `content_type` is another type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub body: Option<Box<RawValue>>,
    /// What it says, in base64, in place of `body`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
    /// What the body is; `application/json` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 255)]
    pub content_type: Option<String>,
    /// What else the sender says, by name: at most 32, named with `a-z`, `0-9`, `-` and `_`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// What became of messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SentMessages {
    /// The topic.
    pub topic: String,
    /// The messages' ids, in the order in which they were sent.
    pub ids: Vec<String>,
}

/// What became of a topic's messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurgedTopic {
    /// The topic.
    pub topic: String,
    /// Messages that were forgotten.
    pub purged: u64,
}
