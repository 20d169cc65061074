//! An event as functions get it, and how often events may cause one another.

use bytes::Bytes;
use faas_proto::cloud_event::{CloudEvent, Extension, InvalidEvent};
use faas_types::{Code, Fault, limits};

/// The attribute that counts how often events have caused one another. A function that publishes from outside its sandbox
/// passes it on; of one that publishes from inside the server knows.
const DEPTH: &str = "faasdepth";

/// An event as functions get it.
#[derive(Clone, Debug)]
pub struct PublishedEvent {
    /// Its id; together with the source it tells events apart.
    pub id: String,
    /// Where it happened.
    pub source: String,
    /// What happened.
    pub kind: String,
    /// What it happened to.
    pub subject: Option<String>,
    /// Its attributes as headers.
    pub headers: Vec<(String, String)>,
    /// Its data.
    pub body: Bytes,
    /// How many runs led to it, each caused by the one before.
    pub hops: u32,
}

// === impl PublishedEvent ===

impl PublishedEvent {
    /// The events that a request carries. Header names are in lower case.
    ///
    /// # Errors
    /// `FN_012` naming the attribute that is missing or malformed, or that says that too many events have caused one
    /// another.
    pub fn read(headers: &[(String, String)], body: &Bytes) -> Result<Vec<Self>, Fault> {
        let events = CloudEvent::read(headers, body).map_err(|error| malformed(&error))?;
        events.into_iter().map(|event| depth(&event).map(|hops| Self::after(event, hops))).collect()
    }

    /// An event that so many runs led to; functions see it one step deeper.
    pub(crate) fn after(mut event: CloudEvent, hops: u32) -> Self {
        let depth = i32::try_from(hops).unwrap_or(i32::MAX).saturating_add(1);
        event.extensions.insert(DEPTH.to_owned(), Extension::Integer(depth));
        let headers = event.headers();
        let CloudEvent { id, source, kind, subject, data, .. } = event;
        Self { id, source, kind, subject, headers, body: data.unwrap_or_default(), hops }
    }
}

pub(crate) fn malformed(error: &InvalidEvent) -> Fault {
    Fault::new(Code::BadRequest, error.to_string())
        .with_hint("the form of events is described in docs/guides/triggers.md")
}

/// What an event from outside says of its depth.
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
