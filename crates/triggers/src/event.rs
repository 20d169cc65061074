//! An event as functions get it, and the limit on chains of events.

use bytes::Bytes;
use faas_proto::cloud_event::{CloudEvent, Extension, InvalidEvent};
use faas_types::{Code, Fault, limits};

/// The attribute that counts how many events in a row caused this one. A function that publishes through the REST API passes
/// it on; for publications from inside a sandbox the server counts.
const DEPTH: &str = "faasdepth";

/// An event to publish.
#[derive(Clone, Debug)]
pub struct PublishedEvent {
    /// The event's id, unique within its source.
    pub id: String,
    /// Where it happened.
    pub source: String,
    /// What happened.
    pub kind: String,
    /// What it happened to.
    pub subject: Option<String>,
    /// The attributes as headers of the function's request.
    pub headers: Vec<(String, String)>,
    /// The event's data.
    pub body: Bytes,
    /// Length of the chain of runs that caused it.
    pub hops: u32,
}

// === impl PublishedEvent ===

impl PublishedEvent {
    /// Reads the events of a request. Header names are in lower case.
    ///
    /// # Errors
    /// `FN_012` naming the attribute that is missing, malformed, or counts too long a chain.
    pub fn read(headers: &[(String, String)], body: &Bytes) -> Result<Vec<Self>, Fault> {
        let events = CloudEvent::read(headers, body).map_err(|error| malformed(&error))?;
        events.into_iter().map(|event| depth(&event).map(|hops| Self::after(event, hops))).collect()
    }

    /// An event at the end of a chain of `hops` runs. Functions see the chain one longer.
    pub(super) fn after(mut event: CloudEvent, hops: u32) -> Self {
        let depth = i32::try_from(hops).unwrap_or(i32::MAX).saturating_add(1);
        event.extensions.insert(DEPTH.to_owned(), Extension::Integer(depth));
        let headers = event.headers();
        let CloudEvent { id, source, kind, subject, data, .. } = event;
        Self { id, source, kind, subject, headers, body: data.unwrap_or_default(), hops }
    }
}

/// The refusal of a malformed event.
pub(super) fn malformed(error: &InvalidEvent) -> Fault {
    Fault::new(Code::BadRequest, error.to_string())
        .with_hint("the form of events is described in docs/guides/triggers.md")
}

/// The length of the chain that an event from outside claims.
fn depth(event: &CloudEvent) -> Result<u32, Fault> {
    let depth = match event.extensions.get(DEPTH) {
        None => Some(0),
        Some(Extension::Integer(depth)) => u32::try_from(*depth).ok(),
        Some(Extension::Text(text)) => text.parse().ok(),
        Some(Extension::Boolean(_)) => None,
    };
    let depth =
        depth.ok_or_else(|| Fault::new(Code::BadRequest, format!("attribute `{DEPTH}` must be a whole number")))?;
    if depth > limits::HOPS_MAX {
        let most = limits::HOPS_MAX;
        let message = format!("attribute `{DEPTH}` says that more than {most} events have caused one another");
        return Err(
            Fault::new(Code::BadRequest, message).with_hint("look for functions that publish what they subscribe to")
        );
    }
    Ok(depth)
}
