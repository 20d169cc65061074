//! The written form of a trigger.

use faas_types::{
    CronTrigger, EventFilter, EventTrigger, HttpMethod, MissedTicks, Overlap, QueueTrigger, Redelivery,
    TriggerSettings, WebhookReply, WebhookScheme, WebhookTrigger,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::{RetryDocument, slash};

/// Something that creates runs.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
#[schemars(inline)]
pub(super) enum TriggerDocument {
    /// Requests below the function's URL.
    Http {
        /// The path prefix below the function's URL, starting with a slash.
        #[schemars(default = "slash", length(max = 200), regex(pattern = "^/"))]
        path: String,
        /// The methods that are taken; empty takes all.
        #[schemars(default)]
        methods: Vec<HttpMethodName>,
    },
    /// The times of a schedule.
    Cron {
        /// Unique within the function; `cron-1` and so on when absent.
        #[schemars(default = "absent", length(min = 1, max = 63))]
        name: String,
        /// Five fields (minute hour day month weekday), six with seconds in front, or a name such as @daily.
        #[schemars(length(max = 256))]
        schedule: String,
        /// The IANA name of the zone that the schedule is read in.
        #[schemars(default = "utc")]
        timezone: String,
        /// What becomes of ticks that passed while nobody looked: skip, once (the latest stands for all), all, or how many
        /// of the latest.
        #[schemars(default = "once")]
        missed: TextOrCount,
        /// What becomes of a tick while a run of this trigger is under way.
        #[schemars(default)]
        overlap: OverlapName,
        /// The longest random delay before a run, at most "1h".
        #[schemars(default = "none")]
        jitter: String,
        /// The path that the function is called with.
        #[schemars(default = "slash", length(max = 200), regex(pattern = "^/"))]
        path: String,
        /// JSON that the function is called with, as text; nothing when absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(with = "String", default = "absent")]
        input: Option<String>,
    },
    /// Signed deliveries at a URL of their own.
    Webhook {
        /// Unique within the function; `webhook-1` and so on when absent.
        #[schemars(default = "absent", length(min = 1, max = 63))]
        name: String,
        /// How the sender signs.
        #[schemars(default)]
        scheme: SchemeName,
        /// What the sender is answered: 202 once the run is stored, or the function's own answer.
        #[schemars(default)]
        respond: ReplyName,
        /// What a delivery that comes again makes: nothing, or another run where the run before has failed.
        #[schemars(default)]
        redelivery: RedeliveryName,
        /// The path that the function is called with.
        #[schemars(default = "slash", length(max = 200), regex(pattern = "^/"))]
        path: String,
    },
    /// Published events.
    Event {
        /// Unique within the function; `event-1` and so on when absent.
        #[schemars(default = "absent", length(min = 1, max = 63))]
        name: String,
        /// Types that are wanted: whole, or a beginning with * behind it.
        #[schemars(length(min = 1, max = 32))]
        types: Vec<String>,
        /// Sources that are wanted; all when absent.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[schemars(default, length(min = 1, max = 32))]
        sources: Vec<String>,
        /// Subjects that are wanted; all when absent.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[schemars(default, length(min = 1, max = 32))]
        subjects: Vec<String>,
        /// The path that the function is called with.
        #[schemars(default = "slash", length(max = 200), regex(pattern = "^/"))]
        path: String,
    },
    /// Messages of a topic.
    Queue {
        /// Unique within the function; `queue-1` and so on when absent.
        #[schemars(default = "absent", length(min = 1, max = 63))]
        name: String,
        /// The topic, of the function's project.
        #[schemars(length(min = 1, max = 63))]
        topic: String,
        /// Messages of one run at the most.
        #[schemars(default = "ten", range(min = 1, max = 1000))]
        batch_size: u16,
        /// How long the first message of a batch waits for others, at most "5m".
        #[schemars(default = "none")]
        batch_window: String,
        /// When a failed attempt is followed by another; as in [background.retry] when absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(with = "RetryDocument", default = "no_retry")]
        retry: Option<RetryDocument>,
        /// The path that the function is called with.
        #[schemars(default = "slash", length(max = 200), regex(pattern = "^/"))]
        path: String,
    },
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum TextOrCount {
    Text(String),
    Count(u32),
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum OverlapName {
    #[default]
    Allow,
    Skip,
    Queue,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum SchemeName {
    #[default]
    Standard,
    GitHub,
    Stripe,
    Slack,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum ReplyName {
    #[default]
    Accepted,
    Answer,
}

/// What a delivery that comes again makes.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum RedeliveryName {
    /// Nothing: it is told of the first run.
    #[default]
    Once,
    /// Another run, where the run before has failed.
    Retry,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
pub(super) enum HttpMethodName {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn once() -> TextOrCount {
    TextOrCount::Text("once".to_owned())
}

fn none() -> String {
    "0s".to_owned()
}

fn ten() -> u16 {
    faas_types::limits::BATCH_DEFAULT
}

fn no_retry() -> Option<RetryDocument> {
    None
}

/// A default that the schema leaves out.
fn absent() -> Option<String> {
    None
}

// === impl TriggerDocument ===

impl From<&TriggerSettings> for TriggerDocument {
    fn from(trigger: &TriggerSettings) -> Self {
        let texts = |filters: &[EventFilter]| filters.iter().map(ToString::to_string).collect();
        match trigger {
            TriggerSettings::Http { path, methods } => {
                Self::Http { path: path.clone(), methods: methods.iter().map(|m| (*m).into()).collect() }
            }
            TriggerSettings::Cron(cron) => cron_document(cron),
            TriggerSettings::Webhook(WebhookTrigger { name, scheme, respond, redelivery, path }) => Self::Webhook {
                name: name.to_string(),
                scheme: (*scheme).into(),
                respond: (*respond).into(),
                redelivery: (*redelivery).into(),
                path: path.clone(),
            },
            TriggerSettings::Event(EventTrigger { name, types, sources, subjects, path }) => Self::Event {
                name: name.to_string(),
                types: texts(types),
                sources: texts(sources),
                subjects: texts(subjects),
                path: path.clone(),
            },
            TriggerSettings::Queue(QueueTrigger { name, topic, batch_size, batch_window, retry, path }) => {
                Self::Queue {
                    name: name.to_string(),
                    topic: topic.to_string(),
                    batch_size: *batch_size,
                    batch_window: batch_window.to_string(),
                    retry: retry.as_ref().map(RetryDocument::from),
                    path: path.clone(),
                }
            }
        }
    }
}

fn cron_document(cron: &CronTrigger) -> TriggerDocument {
    let CronTrigger { name, schedule, missed, overlap, jitter, path, input } = cron;
    TriggerDocument::Cron {
        name: name.to_string(),
        schedule: schedule.expression().to_owned(),
        timezone: schedule.timezone().to_owned(),
        missed: (*missed).into(),
        overlap: (*overlap).into(),
        jitter: jitter.to_string(),
        path: path.clone(),
        input: input.clone(),
    }
}

impl From<MissedTicks> for TextOrCount {
    fn from(missed: MissedTicks) -> Self {
        match missed {
            MissedTicks::Skip => Self::Text("skip".to_owned()),
            MissedTicks::Once => Self::Text("once".to_owned()),
            MissedTicks::All(count) => Self::Count(count),
        }
    }
}

impl From<Overlap> for OverlapName {
    fn from(overlap: Overlap) -> Self {
        match overlap {
            Overlap::Allow => Self::Allow,
            Overlap::Skip => Self::Skip,
            Overlap::Queue => Self::Queue,
        }
    }
}

impl From<WebhookScheme> for SchemeName {
    fn from(scheme: WebhookScheme) -> Self {
        match scheme {
            WebhookScheme::Standard => Self::Standard,
            WebhookScheme::GitHub => Self::GitHub,
            WebhookScheme::Stripe => Self::Stripe,
            WebhookScheme::Slack => Self::Slack,
        }
    }
}

impl From<Redelivery> for RedeliveryName {
    fn from(redelivery: Redelivery) -> Self {
        match redelivery {
            Redelivery::Once => Self::Once,
            Redelivery::Retry => Self::Retry,
        }
    }
}

impl From<WebhookReply> for ReplyName {
    fn from(reply: WebhookReply) -> Self {
        match reply {
            WebhookReply::Accepted => Self::Accepted,
            WebhookReply::Answer => Self::Answer,
        }
    }
}

impl From<HttpMethod> for HttpMethodName {
    fn from(method: HttpMethod) -> Self {
        match method {
            HttpMethod::Get => Self::Get,
            HttpMethod::Head => Self::Head,
            HttpMethod::Post => Self::Post,
            HttpMethod::Put => Self::Put,
            HttpMethod::Patch => Self::Patch,
            HttpMethod::Delete => Self::Delete,
            HttpMethod::Options => Self::Options,
        }
    }
}
