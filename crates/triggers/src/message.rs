//! A message as it is sent, and the JSON that functions get of it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use faas_types::{Code, Fault, MessageId, Timestamp, limits};
use serde::Serialize;
use serde_json::value::RawValue;

/// The content type that `curl -d` gives every body.
const FORM: &str = "application/x-www-form-urlencoded";
/// The longest content type, in bytes.
const CONTENT_TYPE_MAX: usize = 255;

/// A message to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// The bytes that the sender chose.
    pub body: Bytes,
    /// The media type of the body.
    pub content_type: Option<String>,
    /// Further texts of the sender, by name.
    pub attributes: BTreeMap<String, String>,
}

/// A message as functions get it, without the number of the attempt.
#[derive(Serialize)]
struct MessageJson<'a> {
    id: MessageId,
    published_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    attributes: &'a BTreeMap<String, String>,
    #[serde(flatten)]
    body: BodyJson<'a>,
}

/// JSON and text stay readable; other bytes are base64.
#[derive(Serialize)]
#[serde(untagged)]
enum BodyJson<'a> {
    Json { body: &'a RawValue },
    Text { body: Option<&'a str> },
    Bytes { body_base64: String },
}

// === impl OutgoingMessage ===

impl OutgoingMessage {
    /// Checks sizes and names.
    ///
    /// # Errors
    /// `FN_011` for the size, `FN_012` naming the malformed part.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let text: usize = self.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
        let size = self.body.len() + text;
        if size > limits::MESSAGE_MAX {
            let most = limits::MESSAGE_MAX >> 10;
            return Err(Fault::new(Code::PayloadTooLarge, format!("a message of {size} bytes is over {most} KB"))
                .with_hint("keep the data elsewhere and send where it is"));
        }
        let bad = |message: String| Err(Fault::new(Code::BadRequest, message));
        if self.attributes.len() > limits::MESSAGE_ATTRIBUTES_MAX {
            return bad(format!("a message has at most {} attributes", limits::MESSAGE_ATTRIBUTES_MAX));
        }
        if self.content_type.as_ref().is_some_and(|kind| kind.len() > CONTENT_TYPE_MAX || !is_plain(kind)) {
            return bad("`content_type` is not a media type".to_owned());
        }
        for (name, value) in &self.attributes {
            if !is_attribute(name) {
                let shown: String = name.chars().take(limits::MESSAGE_ATTRIBUTE_NAME_MAX).collect();
                return bad(format!("attribute `{shown}`: use 1 to 64 of a-z, 0-9, - and _ for its name"));
            }
            if value.len() > limits::MESSAGE_ATTRIBUTE_MAX || !is_plain(value) {
                return bad(format!(
                    "attribute `{name}`: at most {} bytes of text without control characters",
                    limits::MESSAGE_ATTRIBUTE_MAX
                ));
            }
        }
        Ok(())
    }

    /// The JSON that functions get, without the number of the attempt.
    pub(super) fn payload(&self, id: MessageId, at: Timestamp) -> Result<Bytes, Fault> {
        let json = MessageJson {
            id,
            published_at: at.to_string(),
            content_type: self.content_type.as_deref(),
            attributes: &self.attributes,
            body: self.readable(),
        };
        faas_catalog::encode(&json)
    }

    fn readable(&self) -> BodyJson<'_> {
        let media = self.content_type.as_deref().map(|kind| kind.split(';').next().unwrap_or_default().trim());
        let declared = media.is_some_and(|media| {
            let media = media.to_ascii_lowercase();
            media == "application/json" || media.ends_with("+json")
        });
        if self.body.is_empty() {
            return BodyJson::Text { body: None };
        }
        if (declared || media.is_none_or(|media| media.eq_ignore_ascii_case(FORM)))
            && let Some(body) = json(&self.body)
        {
            return BodyJson::Json { body };
        }
        match std::str::from_utf8(&self.body) {
            Ok(text) if !declared && is_text(text) => BodyJson::Text { body: Some(text) },
            _ => BodyJson::Bytes { body_base64: BASE64_STANDARD.encode(&self.body) },
        }
    }
}

/// The body as JSON, if `serde_json` accepts it: numbers in range, valid text, nesting within its limit.
fn json(body: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice::<serde_json::Value>(body).ok()?;
    serde_json::from_slice(body).ok()
}

/// Whether escaping makes the text at most twice as long.
fn is_text(text: &str) -> bool {
    !text.contains(|c: char| c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r'))
}

fn is_plain(text: &str) -> bool {
    !text.contains(char::is_control)
}

fn is_attribute(name: &str) -> bool {
    (1..=limits::MESSAGE_ATTRIBUTE_NAME_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn sent(body: &[u8], content_type: Option<&str>) -> Value {
        let message = OutgoingMessage {
            body: Bytes::copy_from_slice(body),
            content_type: content_type.map(str::to_owned),
            attributes: BTreeMap::from([("tenant".to_owned(), "a".to_owned())]),
        };
        message.check().expect("good");
        let payload = message.payload(MessageId::from_u128(1), Timestamp::from_millis(0)).expect("encodes");
        serde_json::from_slice(&payload).expect("JSON")
    }

    #[test]
    fn bodies_stay_readable_where_they_can() {
        let json = Some("application/json");
        assert_eq!(sent(b"{\"a\": [1]}", json)["body"], json!({"a": [1]}));
        assert_eq!(sent(b"{\"a\": [1]}", None)["body"], json!({"a": [1]}));
        assert_eq!(sent(b"7", Some("Application/Cloudevents+JSON; charset=utf-8"))["body"], json!(7));
        assert_eq!(sent(b"{\"a\": 1}", Some(FORM))["body"], json!({"a": 1}));
        assert_eq!(sent(b"a=1&b=2", Some(FORM))["body"], json!("a=1&b=2"));
        assert_eq!(sent(b"7", Some("text/plain"))["body"], json!("7"));
        assert_eq!(sent(b"", None)["body"], Value::Null);
        for (body, kind) in [(&b"{"[..], json), (b"\xff", None), (b"\x01", Some("text/plain")), (b"1e999", json)] {
            assert_eq!(sent(body, kind)["body_base64"], json!(BASE64_STANDARD.encode(body)), "{body:?}");
        }
        let deep = [vec![b'['; 500], vec![b']'; 500]].concat();
        assert!(sent(&deep, json)["body_base64"].is_string(), "no reader takes that as JSON");
        assert_eq!(sent(b"1", None)["attributes"], json!({"tenant": "a"}));
    }

    #[test]
    fn bounds_are_kept() {
        let with = |name: &str, value: &str| OutgoingMessage {
            attributes: BTreeMap::from([(name.to_owned(), value.to_owned())]),
            ..OutgoingMessage::default()
        };
        let code = |message: &OutgoingMessage| message.check().expect_err("refused").code;
        for message in
            [with("", "x"), with("A", "x"), with(&"a".repeat(65), "x"), with("a", "\n"), with("a", &"x".repeat(1_025))]
        {
            assert_eq!(code(&message), Code::BadRequest, "{message:?}");
        }
        let many = (0..33).map(|n| (format!("a{n}"), String::new())).collect();
        assert_eq!(code(&OutgoingMessage { attributes: many, ..OutgoingMessage::default() }), Code::BadRequest);
        let typed = OutgoingMessage { content_type: Some("a\r\nb".to_owned()), ..OutgoingMessage::default() };
        assert_eq!(code(&typed), Code::BadRequest);
        let large = OutgoingMessage { body: vec![b'x'; limits::MESSAGE_MAX + 1].into(), ..OutgoingMessage::default() };
        assert_eq!(code(&large), Code::PayloadTooLarge);
    }
}
