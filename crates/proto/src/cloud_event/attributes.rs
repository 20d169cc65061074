//! The rules that attributes follow in every mode.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{CloudEvent, Extension, InvalidEvent};

/// The version of the specification that we speak.
pub(super) const VERSION: &str = "1.0";
/// Attributes of one event.
const COUNT_MAX: usize = 64;
/// Bytes of a name.
const NAME_MAX: usize = 64;
/// Bytes of a value.
const VALUE_MAX: usize = 4096;

/// Attributes as they are being read.
#[derive(Default)]
pub(super) struct Attributes {
    values: BTreeMap<String, Extension>,
}

// === impl Attributes ===

impl Attributes {
    /// Those of an event of ours, which names no version.
    pub(super) fn of<'a>(given: impl IntoIterator<Item = (&'a str, String)>) -> Result<Self, InvalidEvent> {
        let mut attributes = Self::default();
        attributes.add("specversion", Extension::Text(VERSION.to_owned()))?;
        for (name, value) in given {
            attributes.add(name, Extension::Text(value))?;
        }
        Ok(attributes)
    }

    pub(super) fn add(&mut self, name: &str, value: Extension) -> Result<(), InvalidEvent> {
        let wrong = |why: String| Err(InvalidEvent::attribute(name.chars().take(NAME_MAX).collect::<String>(), why));
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(plain) {
            return wrong(format!("has a malformed name; use up to {NAME_MAX} of a-z and 0-9"));
        }
        if let Extension::Text(text) = &value {
            if text.len() > VALUE_MAX {
                return wrong(format!("is longer than {VALUE_MAX} bytes"));
            }
            if text.chars().any(char::is_control) {
                return wrong("holds a control character".to_owned());
            }
        }
        if self.values.len() == COUNT_MAX {
            return wrong(format!("is one too many; an event takes {COUNT_MAX}"));
        }
        if self.values.insert(name.to_owned(), value).is_some() {
            return wrong("is there twice".to_owned());
        }
        Ok(())
    }

    pub(super) fn event(mut self, data: Option<Bytes>) -> Result<CloudEvent, InvalidEvent> {
        let version = self.required("specversion")?;
        if version != VERSION {
            return Err(InvalidEvent::attribute("specversion", format!("is `{version}`; `{VERSION}` is understood")));
        }
        let event = CloudEvent {
            id: self.required("id")?,
            source: self.required("source")?,
            kind: self.required("type")?,
            subject: self.optional("subject")?,
            time: self.optional("time")?,
            content_type: self.optional("datacontenttype")?,
            schema: self.optional("dataschema")?,
            extensions: self.values,
            data,
        };
        check_reference("source", &event.source)?;
        if let Some(schema) = &event.schema {
            check_reference("dataschema", schema)?;
        }
        match &event.time {
            Some(time) if time.parse::<faas_types::Timestamp>().is_err() => {
                Err(InvalidEvent::attribute("time", "is not an RFC 3339 time such as 2026-11-21T08:00:00Z"))
            }
            _ => Ok(event),
        }
    }

    fn required(&mut self, name: &'static str) -> Result<String, InvalidEvent> {
        self.optional(name)?.ok_or_else(|| InvalidEvent::attribute(name, "is missing"))
    }

    fn optional(&mut self, name: &'static str) -> Result<Option<String>, InvalidEvent> {
        match self.values.remove(name) {
            None => Ok(None),
            Some(Extension::Text(text)) if text.is_empty() => Err(InvalidEvent::attribute(name, "is empty")),
            Some(Extension::Text(text)) => Ok(Some(text)),
            Some(_) => Err(InvalidEvent::attribute(name, "must be text")),
        }
    }
}

/// A URI reference has no characters that a URI cannot have; more is the source's own business.
fn check_reference(name: &'static str, text: &str) -> Result<(), InvalidEvent> {
    let strange = |byte: u8| !byte.is_ascii_graphic() || b"<>\"{}|\\^`".contains(&byte);
    match text.bytes().find(|byte| strange(*byte)) {
        None => Ok(()),
        Some(_) => Err(InvalidEvent::attribute(name, "is not a URI reference; percent-encode what a URI cannot hold")),
    }
}
