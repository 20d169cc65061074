//! Structured and batched mode: the JSON event format.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::attributes::{Attributes, VERSION};
use super::{BATCH_MAX, CloudEvent, Extension, InvalidEvent};

/// An event's members in the order that they came; data stays the text that it was.
type Members<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

pub(super) fn one(body: &Bytes) -> Result<CloudEvent, InvalidEvent> {
    let wrong = |error: serde_json::Error| InvalidEvent::Json { expected: "a JSON object", why: error.to_string() };
    event(serde_json::from_slice::<Object<'_>>(body).map_err(wrong)?.0)
}

pub(super) fn batch(body: &Bytes) -> Result<Vec<CloudEvent>, InvalidEvent> {
    let wrong = |error: serde_json::Error| InvalidEvent::Json { expected: "a JSON array", why: error.to_string() };
    let items: Vec<&RawValue> = serde_json::from_slice(body).map_err(wrong)?;
    if items.len() > BATCH_MAX {
        return Err(InvalidEvent::TooMany(items.len()));
    }
    let read = |(index, item): (usize, &&RawValue)| {
        let object: Object<'_> = serde_json::from_str(item.get())
            .map_err(|error| InvalidEvent::Json { expected: "an array of JSON objects", why: error.to_string() })?;
        event(object.0).map_err(|error| error.at(index))
    };
    items.iter().enumerate().map(read).collect()
}

fn event(members: Members<'_>) -> Result<CloudEvent, InvalidEvent> {
    let mut attributes = Attributes::default();
    let mut data: Option<(&str, &RawValue)> = None;
    let mut is_json = true;
    for (name, value) in members {
        match &*name {
            "data" | "data_base64" if data.is_some() => {
                return Err(InvalidEvent::attribute(name, "is there twice; send either data or data_base64"));
            }
            "data" => data = Some(("data", value)),
            "data_base64" => data = Some(("data_base64", value)),
            _ => {
                let Some(value) = extension(&name, value)? else { continue };
                if let ("datacontenttype", Extension::Text(kind)) = (&*name, &value) {
                    is_json = says_json(kind);
                }
                attributes.add(&name, value)?;
            }
        }
    }
    let data = data.map(|(name, value)| content(name, value, is_json)).transpose()?.flatten();
    attributes.event(data)
}

/// An attribute's value; `None` for null, which means that the attribute is not there.
fn extension(name: &str, value: &RawValue) -> Result<Option<Extension>, InvalidEvent> {
    let wrong = || InvalidEvent::attribute(name, "must be text, a boolean or a whole number of 32 bits");
    Ok(Some(match serde_json::from_str(value.get()).map_err(|_| wrong())? {
        Value::Null => return Ok(None),
        Value::Bool(value) => Extension::Boolean(value),
        Value::String(text) => Extension::Text(text),
        Value::Number(number) => {
            let number = number.as_i64().and_then(|number| i32::try_from(number).ok());
            Extension::Integer(number.ok_or_else(wrong)?)
        }
        Value::Array(_) | Value::Object(_) => return Err(wrong()),
    }))
}

fn content(name: &'static str, value: &RawValue, is_json: bool) -> Result<Option<Bytes>, InvalidEvent> {
    let text = || serde_json::from_str::<String>(value.get());
    if name == "data_base64" {
        let wrong = || InvalidEvent::attribute(name, "is not base64");
        let encoded = text().map_err(|_| wrong())?;
        return Ok(Some(BASE64_STANDARD.decode(encoded).map_err(|_| wrong())?.into()));
    }
    Ok(match value.get() {
        "null" => None,
        // Text of another type is the content itself; JSON content stays JSON.
        raw if is_json => Some(Bytes::copy_from_slice(raw.as_bytes())),
        raw => Some(text().map_or_else(|_| Bytes::copy_from_slice(raw.as_bytes()), Bytes::from)),
    })
}

/// Whether a media type is JSON by its name.
fn says_json(kind: &str) -> bool {
    let media = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media.ends_with("/json") || media.ends_with("+json")
}

pub(super) fn write(event: &CloudEvent) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("specversion", VERSION.into());
    put("id", event.id.as_str().into());
    put("source", event.source.as_str().into());
    put("type", event.kind.as_str().into());
    let optional = [
        ("subject", &event.subject),
        ("time", &event.time),
        ("datacontenttype", &event.content_type),
        ("dataschema", &event.schema),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            put(name, value.as_str().into());
        }
    }
    for (name, value) in &event.extensions {
        put(
            name,
            match value {
                Extension::Boolean(value) => (*value).into(),
                Extension::Integer(value) => (*value).into(),
                Extension::Text(value) => value.as_str().into(),
            },
        );
    }
    if let Some(data) = &event.data {
        let is_json = event.content_type.as_deref().is_none_or(says_json);
        match (is_json.then(|| serde_json::from_slice(data).ok()).flatten(), std::str::from_utf8(data)) {
            (Some(value), _) => put("data", value),
            (None, Ok(text)) if !is_json => put("data", text.into()),
            _ => put("data_base64", BASE64_STANDARD.encode(data).into()),
        };
    }
    Value::Object(object)
}

/// A JSON object whose members keep their order and their repetitions.
struct Object<'a>(Members<'a>);

// === impl Object ===

impl<'de> serde::Deserialize<'de> for Object<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    members.push((name.into(), map.next_value()?));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
