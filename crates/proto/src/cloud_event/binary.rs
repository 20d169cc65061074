//! Binary mode: attributes in headers that start with `ce-`, data as the body.

use bytes::Bytes;

use super::attributes::{Attributes, VERSION};
use super::{CloudEvent, Extension, InvalidEvent};

const PREFIX: &str = "ce-";

pub(super) fn read(headers: &[(String, String)], body: &Bytes) -> Result<CloudEvent, InvalidEvent> {
    if !headers.iter().any(|(name, _)| name.starts_with(PREFIX)) {
        return Err(InvalidEvent::NotAnEvent);
    }
    let mut attributes = Attributes::default();
    for (name, value) in headers {
        if let Some(name) = name.strip_prefix(PREFIX) {
            if name == "datacontenttype" {
                return Err(InvalidEvent::attribute(name, "belongs into the header Content-Type"));
            }
            attributes.add(name, Extension::Text(decode(name, value)?))?;
        } else if name == "content-type" {
            attributes.add("datacontenttype", Extension::Text(value.clone()))?;
        }
    }
    attributes.event((!body.is_empty()).then(|| body.clone()))
}

pub(super) fn write(event: &CloudEvent) -> Vec<(String, String)> {
    let named = |name: &str, value: &str| (format!("{PREFIX}{name}"), encode(value));
    let mut headers = vec![
        named("specversion", VERSION),
        named("id", &event.id),
        named("source", &event.source),
        named("type", &event.kind),
    ];
    let optional = [("subject", &event.subject), ("time", &event.time), ("dataschema", &event.schema)];
    headers.extend(optional.iter().filter_map(|(name, value)| Some(named(name, value.as_deref()?))));
    headers.extend(event.extensions.iter().map(|(name, value)| named(name, &value.to_string())));
    headers.extend(event.content_type.iter().map(|kind| ("content-type".to_owned(), kind.clone())));
    headers
}

/// Takes off quotes, then percent-encoding.
fn decode(name: &str, value: &str) -> Result<String, InvalidEvent> {
    let value = value.trim();
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = quoted.unwrap_or(value).bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits: Option<Vec<u32>> = rest.by_ref().take(2).map(|b| char::from(b).to_digit(16)).collect();
                match digits.as_deref() {
                    Some([high, low]) => bytes.push(u8::try_from(high * 16 + low).unwrap_or_default()),
                    _ => return Err(InvalidEvent::attribute(name, "has a malformed percent-encoding")),
                }
            }
            b'\\' if quoted.is_some() => bytes.extend(rest.next()),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).map_err(|_| InvalidEvent::attribute(name, "is not UTF-8"))
}

/// Percent-encodes what the binding asks for: space, quotes, percent signs and everything outside visible ASCII.
fn encode(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_graphic() && byte != b'"' && byte != b'%' {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

// === impl Extension ===

impl std::fmt::Display for Extension {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}
