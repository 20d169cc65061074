//! CloudEvents 1.0 over HTTP: binary, structured and batched (the JSON event format and the HTTP protocol binding).

mod attributes;
mod binary;
mod json;

use std::collections::BTreeMap;

use bytes::Bytes;

/// Content type of one event as JSON.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// Content type of many events as JSON.
pub const BATCH: &str = "application/cloudevents-batch+json";
/// Events in one batch.
pub const BATCH_MAX: usize = 1000;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct CloudEvent {
    /// Identifies it, together with the source.
    pub id: String,
    /// Where it happened; a URI reference.
    pub source: String,
    /// What happened (the attribute `type`).
    pub kind: String,
    /// What it happened to.
    pub subject: Option<String>,
    /// When, as RFC 3339 text.
    pub time: Option<String>,
    /// What the data is (`datacontenttype`).
    pub content_type: Option<String>,
    /// Where the data's schema is (`dataschema`); a URI.
    pub schema: Option<String>,
    /// Other attributes. The JSON format keeps whether a value is a boolean, an integer or text; headers are all text.
    pub extensions: BTreeMap<String, Extension>,
    /// What goes with it.
    pub data: Option<Bytes>,
}

/// The value of an extension attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extension {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number of 32 bits.
    Integer(i32),
    /// Anything else.
    Text(String),
}

/// Why a request holds no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvent {
    /// Neither content type nor headers say that it is one.
    #[error(
        "the request is not a CloudEvent: send the headers ce-id, ce-source, ce-type and ce-specversion, \
         or a body of type {STRUCTURED} or {BATCH}"
    )]
    NotAnEvent,
    /// The body is not the JSON that the content type promises.
    #[error("the body is not {expected}: {why}")]
    Json {
        /// What it should be.
        expected: &'static str,
        /// The parser's words.
        why: String,
    },
    /// Too many events.
    #[error("a batch takes at most {BATCH_MAX} events; send {0} in parts")]
    TooMany(usize),
    /// An attribute is missing or malformed.
    #[error("attribute `{attribute}`{} {why}", .index.map(|index| format!(" of event {index}")).unwrap_or_default())]
    Attribute {
        /// Its name.
        attribute: String,
        /// Which event of a batch, counted from 0.
        index: Option<usize>,
        /// What is wrong.
        why: String,
    },
}

// === impl CloudEvent ===

impl CloudEvent {
    /// Reads what a request carries: one event, or a batch of them, which may be empty. Header names are in lower case.
    ///
    /// # Errors
    /// What is wrong, naming the attribute. A batch is taken whole or not at all.
    pub fn read(headers: &[(String, String)], body: &Bytes) -> Result<Vec<Self>, InvalidEvent> {
        let content_type = headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| value.as_str());
        let media = content_type.map(|text| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        match media.as_deref() {
            Some(STRUCTURED) => Ok(vec![json::one(body)?]),
            Some(BATCH) => json::batch(body),
            _ => Ok(vec![binary::read(headers, body)?]),
        }
    }

    /// An event of attributes by the names that the JSON format has for them.
    ///
    /// # Errors
    /// What is wrong, naming the attribute.
    pub fn of<'a>(
        attributes: impl IntoIterator<Item = (&'a str, String)>,
        data: Option<Bytes>,
    ) -> Result<Self, InvalidEvent> {
        attributes::Attributes::of(attributes)?.event(data)
    }

    /// The event in binary mode: its attributes as headers, beside its data as the body.
    #[must_use]
    pub fn headers(&self) -> Vec<(String, String)> {
        binary::write(self)
    }

    /// The event in structured mode.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        json::write(self)
    }
}

// === impl InvalidEvent ===

impl InvalidEvent {
    fn attribute(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Attribute { attribute: name.into(), index: None, why: why.into() }
    }

    /// The same, of the event at `index` of a batch.
    fn at(self, index: usize) -> Self {
        match self {
            Self::Attribute { attribute, why, .. } => Self::Attribute { attribute, index: Some(index), why },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests;
