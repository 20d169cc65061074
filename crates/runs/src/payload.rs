//! What a run is called with besides its body, and the HTTP form in which its function sees that.

pub(crate) mod content_length;
pub mod http_reply;
mod http_request;

use faas_types::{Digest, Timestamp, TopicName, TriggerKind, TriggerName};
use serde::{Deserialize, Serialize};

pub use http_request::{HttpRequest, foreign};

/// Headers that name what called a function. Callers cannot set them.
const TRIGGER: &str = "x-faas-trigger";
const TRIGGER_NAME: &str = "x-faas-trigger-name";
const SCHEDULED_AT: &str = "x-faas-scheduled-at";
const TOPIC: &str = "x-faas-topic";

/// What a run is called with, besides its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Payload {
    /// A caller's request.
    Http(HttpRequest),
    /// The request of a webhook's sender.
    Webhook {
        /// The trigger.
        trigger: TriggerName,
        /// What the sender sent; boxed, as calls are far more than deliveries.
        request: Box<HttpRequest>,
    },
    /// A tick of a schedule. The body is the schedule's input.
    Tick {
        /// The trigger.
        trigger: TriggerName,
        /// Where it calls its function.
        path: String,
        /// When it was due.
        at: Timestamp,
        /// Whether the schedule names an input, which is JSON.
        has_input: bool,
    },
    /// A published event. The body is its data.
    Event {
        /// The trigger.
        trigger: TriggerName,
        /// Where it calls its function.
        path: String,
        /// The attributes, named as CloudEvents names them over HTTP.
        attributes: Vec<(String, String)>,
    },
    /// Messages of a topic. The body carries them.
    Messages {
        /// The trigger.
        trigger: TriggerName,
        /// Where it calls its function.
        path: String,
        /// The topic.
        topic: TopicName,
    },
    /// The report on a run that has ended, to its destination. The body is JSON.
    Report,
}

// === impl Payload ===

impl Payload {
    /// The request that somebody outside sent, where one did.
    #[must_use]
    pub fn request(&self) -> Option<&HttpRequest> {
        match self {
            Self::Http(request) => Some(request),
            Self::Webhook { request, .. } => Some(request),
            Self::Tick { .. } | Self::Event { .. } | Self::Messages { .. } | Self::Report => None,
        }
    }

    fn request_mut(&mut self) -> Option<&mut HttpRequest> {
        match self {
            Self::Http(request) => Some(request),
            Self::Webhook { request, .. } => Some(request),
            Self::Tick { .. } | Self::Event { .. } | Self::Messages { .. } | Self::Report => None,
        }
    }

    /// What proves to the function who sent it, hashed; `None` where nothing does.
    pub(crate) fn proof(&self) -> Option<Digest> {
        self.request().and_then(HttpRequest::proof)
    }

    /// What repetitions of a request have in common besides the body.
    pub(crate) fn target(&self) -> [&str; 3] {
        self.request().map_or([""; 3], |sent| [sent.method.as_str(), sent.path.as_str(), sent.query.as_str()])
    }

    /// The bytes of its texts.
    pub(crate) fn size(&self) -> usize {
        let pairs = |pairs: &[(String, String)]| pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
        match self {
            Self::Http(request) => request.size(),
            Self::Webhook { trigger, request } => trigger.as_str().len() + request.size(),
            Self::Tick { trigger, path, .. } => trigger.as_str().len() + path.len(),
            Self::Event { trigger, path, attributes } => {
                let attributes: usize = pairs(attributes);
                trigger.as_str().len() + path.len() + attributes
            }
            Self::Messages { trigger, path, topic } => trigger.as_str().len() + path.len() + topic.as_str().len(),
            Self::Report => 0,
        }
    }

    /// Another body takes the place of the one that came with it.
    pub(crate) fn forget_length(&mut self) {
        if let Some(request) = self.request_mut() {
            request.headers.retain(|(name, _)| name != "content-length");
        }
    }

    /// Without what only the platform says, where a caller sent it.
    pub(crate) fn without_claims(self) -> Self {
        match self {
            Self::Http(request) => Self::Http(HttpRequest { headers: foreign(request.headers), ..request }),
            other => other,
        }
    }

    /// The request that the function gets.
    #[must_use]
    pub fn into_http(self) -> HttpRequest {
        let json = || ("content-type".to_owned(), "application/json".to_owned());
        let (path, mut headers, kind, trigger) = match self {
            Self::Http(request) => return request,
            Self::Webhook { trigger, request } => {
                let mut request = *request;
                name_cause(&mut request.headers, TriggerKind::Webhook, Some(&trigger));
                return request;
            }
            Self::Tick { trigger, path, at, has_input } => {
                let scheduled = (SCHEDULED_AT.to_owned(), at.to_string());
                let headers = std::iter::once(scheduled).chain(has_input.then(json)).collect();
                (path, headers, TriggerKind::Cron, Some(trigger))
            }
            Self::Event { trigger, path, attributes } => (path, attributes, TriggerKind::Event, Some(trigger)),
            Self::Messages { trigger, path, topic } => {
                (path, vec![json(), (TOPIC.to_owned(), topic.to_string())], TriggerKind::Queue, Some(trigger))
            }
            Self::Report => ("/".to_owned(), vec![json()], TriggerKind::Destination, None),
        };
        name_cause(&mut headers, kind, trigger.as_ref());
        HttpRequest { method: "POST".to_owned(), path, query: String::new(), headers }
    }
}

fn name_cause(headers: &mut Vec<(String, String)>, kind: TriggerKind, trigger: Option<&TriggerName>) {
    headers.push((TRIGGER.to_owned(), kind.as_str().to_owned()));
    headers.extend(trigger.map(|name| (TRIGGER_NAME.to_owned(), name.to_string())));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn request(headers: &[(&str, &str)]) -> HttpRequest {
        HttpRequest { method: "PUT".into(), path: "/a".into(), query: "x=1".into(), headers: pairs(headers) }
    }

    #[test]
    fn functions_see_each_payload_as_a_request() {
        let trigger = || "nightly".parse::<TriggerName>().expect("a name");
        let (path, at): (String, _) = ("/jobs".into(), Timestamp::from_millis(1_767_225_600_000));
        let json = ("content-type", "application/json");
        let name = ("x-faas-trigger-name", "nightly");
        let due = ("x-faas-scheduled-at", "2026-01-01T00:00:00.000Z");
        let tick = |has_input| Payload::Tick { trigger: trigger(), path: path.clone(), at, has_input };
        let attributes = pairs(&[("ce-id", "1"), ("content-type", "text/plain")]);
        let topic = "orders".parse().expect("a name");
        for (payload, headers) in [
            (tick(false), vec![due, ("x-faas-trigger", "cron"), name]),
            (tick(true), vec![due, json, ("x-faas-trigger", "cron"), name]),
            (
                Payload::Event { trigger: trigger(), path: path.clone(), attributes },
                vec![("ce-id", "1"), ("content-type", "text/plain"), ("x-faas-trigger", "event"), name],
            ),
            (
                Payload::Messages { trigger: trigger(), path: path.clone(), topic },
                vec![json, ("x-faas-topic", "orders"), ("x-faas-trigger", "queue"), name],
            ),
        ] {
            let made = payload.into_http();
            assert_eq!((made.method.as_str(), made.path.as_str(), made.query.as_str()), ("POST", "/jobs", ""));
            assert_eq!(made.headers, pairs(&headers));
        }
        let report = Payload::Report.into_http();
        assert_eq!((report.path.as_str(), report.headers), ("/", pairs(&[json, ("x-faas-trigger", "destination")])));
        let delivery = Payload::Webhook { trigger: trigger(), request: Box::new(request(&[("x-a", "b")])) }.into_http();
        assert_eq!(delivery, request(&[("x-a", "b"), ("x-faas-trigger", "webhook"), name]));
        let sent = request(&[("x-a", "b")]);
        assert_eq!(Payload::Http(sent.clone()).into_http(), sent, "a caller's request stays as it is");
    }

    #[test]
    fn only_callers_can_claim_what_the_platform_says() {
        let claims = || request(&[("x-faas-trigger", "webhook"), ("x-a", "b")]);
        let Payload::Http(left) = Payload::Http(claims()).without_claims() else { panic!("a request") };
        assert_eq!(left.headers, pairs(&[("x-a", "b")]));
    }

    #[test]
    fn the_stored_form_names_its_kind() {
        let payload = Payload::Http(request(&[]));
        let json = serde_json::to_string(&payload).expect("JSON");
        assert_eq!(json, r#"{"kind":"http","method":"PUT","path":"/a","query":"x=1","headers":[]}"#);
        assert_eq!(serde_json::from_str::<Payload>(&json).expect("read"), payload);
    }
}
