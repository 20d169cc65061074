//! What creates runs besides requests at a function's URL. The values are checked where manifests are read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text_form::text_form;
use crate::{CronPolicy, CronSchedule, MissedTicks, Overlap, RetryPolicy, Span, TopicName, TriggerName, WebhookScheme};

/// Bytes of one filter.
const FILTER_MAX: usize = 256;

/// Runs at the times of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CronTrigger {
    /// Unique within the function.
    #[schema(value_type = String)]
    pub name: TriggerName,
    /// When.
    pub schedule: CronSchedule,
    /// What becomes of ticks that passed while nobody looked.
    #[serde(default)]
    pub missed: MissedTicks,
    /// What becomes of a tick while a run of this trigger is under way.
    #[serde(default)]
    pub overlap: Overlap,
    /// The longest random delay before a run.
    #[serde(default)]
    #[schema(value_type = String)]
    pub jitter: Span,
    /// The path that the function is called with.
    pub path: String,
    /// JSON that the function is called with; nothing when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
}

/// Runs for signed deliveries at a URL of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebhookTrigger {
    /// Unique within the function.
    #[schema(value_type = String)]
    pub name: TriggerName,
    /// How the sender signs.
    #[serde(default)]
    pub scheme: WebhookScheme,
    /// What the sender is answered.
    #[serde(default)]
    pub respond: WebhookReply,
    /// What a delivery that comes again makes.
    #[serde(default)]
    pub redelivery: Redelivery,
    /// The path that the function is called with.
    pub path: String,
}

/// What a delivery that comes again makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Redelivery {
    /// Nothing: it is told of the first run.
    #[default]
    Once,
    /// Another run, where the run before has failed.
    Retry,
}

/// What the sender of a webhook is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WebhookReply {
    /// 202 as soon as the run is stored.
    #[default]
    Accepted,
    /// The function's own answer.
    Answer,
}

/// Runs for published events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EventTrigger {
    /// Unique within the function.
    #[schema(value_type = String)]
    pub name: TriggerName,
    /// Any of these fits the event's type.
    #[schema(value_type = Vec<String>)]
    pub types: Vec<EventFilter>,
    /// Any of these fits the event's source; all fit when empty.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub sources: Vec<EventFilter>,
    /// Any of these fits the event's subject; all fit, and an event without one, when empty.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub subjects: Vec<EventFilter>,
    /// The path that the function is called with.
    pub path: String,
}

/// Runs for the messages of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QueueTrigger {
    /// Unique within the function.
    #[schema(value_type = String)]
    pub name: TriggerName,
    /// The topic, of the function's project.
    #[schema(value_type = String)]
    pub topic: TopicName,
    /// Messages of one run at the most.
    pub batch_size: u16,
    /// How long the first message of a batch waits for others.
    #[schema(value_type = String)]
    pub batch_window: Span,
    /// When a failed attempt is followed by another; as the function's own runs when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// The path that the function is called with.
    pub path: String,
}

/// A text as it is, or what it starts with where a `*` ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFilter(String);

/// Why a text is no [`EventFilter`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a filter; write a whole value, or its beginning with one `*` behind it, such as com.example.*")]
pub struct InvalidEventFilter(String);

// === impl CronTrigger ===

impl CronTrigger {
    /// How it treats ticks.
    #[must_use]
    pub fn policy(&self) -> CronPolicy {
        CronPolicy { missed: self.missed, overlap: self.overlap, jitter: self.jitter.get() }
    }
}

// === impl EventTrigger ===

impl EventTrigger {
    /// Whether it wants an event.
    #[must_use]
    pub fn wants(&self, kind: &str, source: &str, subject: Option<&str>) -> bool {
        let any = |filters: &[EventFilter], text: &str| filters.iter().any(|filter| filter.fits(text));
        any(&self.types, kind)
            && (self.sources.is_empty() || any(&self.sources, source))
            && (self.subjects.is_empty() || subject.is_some_and(|subject| any(&self.subjects, subject)))
    }
}

// === impl EventFilter ===

impl EventFilter {
    /// Whether it takes a value.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => text.starts_with(start),
            None => text == self.0,
        }
    }

    /// The filter as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EventFilter {
    type Err = InvalidEventFilter;

    fn from_str(text: &str) -> Result<Self, InvalidEventFilter> {
        let start = text.strip_suffix('*').unwrap_or(text);
        let plain = !text.is_empty() && text.len() <= FILTER_MAX && !start.contains('*');
        if plain && !text.chars().any(char::is_control) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidEventFilter(text.chars().take(64).collect()))
    }
}

impl fmt::Display for EventFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_form!(EventFilter);

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(texts: &[&str]) -> Vec<EventFilter> {
        texts.iter().map(|text| text.parse().unwrap_or_else(|error| panic!("{error}"))).collect()
    }

    #[test]
    fn filters_take_whole_values_or_beginnings() {
        let trigger = |sources: &[&str], subjects: &[&str]| EventTrigger {
            name: "orders".parse().unwrap_or_else(|error| panic!("{error}")),
            types: filters(&["order.created", "user.*"]),
            sources: filters(sources),
            subjects: filters(subjects),
            path: "/".to_owned(),
        };
        let open = trigger(&[], &[]);
        assert!(open.wants("order.created", "/shop", None) && open.wants("user.deleted", "/x", Some("7")));
        assert!(!open.wants("order.created.v2", "/shop", None) && !open.wants("users", "/shop", None));
        let narrow = trigger(&["/shop/*"], &["7"]);
        assert!(narrow.wants("user.", "/shop/eu", Some("7")));
        for (source, subject) in [("/shop", Some("7")), ("/shop/eu", None), ("/shop/eu", Some("77"))] {
            assert!(!narrow.wants("user.", source, subject), "{source} {subject:?}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for bad in ["", "a*b", "**", "*a", "a\n", &"x".repeat(257)] {
            assert!(bad.parse::<EventFilter>().is_err(), "{bad}");
        }
        assert!("*".parse::<EventFilter>().is_ok());
    }
}
