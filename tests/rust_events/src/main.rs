//! Prints one event in the three modes of HTTP: `rust-events ID TYPE` writes a JSON list of messages with `headers` and
//! `body`. Binary and structured mode are written by the SDK's binding; it has none for batches, so that is the SDK's own
//! JSON of a list of events. Bytes of headers stand as characters, so that what is not ASCII arrives as it was.

use std::cell::RefCell;
use std::error::Error;

use cloudevents::binding::http::{Builder, Serializer};
use cloudevents::message::{Result as Written, StructuredDeserializer};
use cloudevents::{Event, EventBuilder, EventBuilderV10};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use serde_json::{Value, json};

/// Takes what the SDK writes in structured mode.
#[derive(Default)]
struct Message(RefCell<HeaderMap>);

impl Builder<(HeaderMap, Vec<u8>)> for Message {
    fn header(&mut self, key: &str, value: HeaderValue) {
        let name: HeaderName = key.parse().expect("the SDK names headers");
        self.0.get_mut().append(name, value);
    }

    fn body(&mut self, bytes: Vec<u8>) -> Written<(HeaderMap, Vec<u8>)> {
        Ok((self.0.take(), bytes))
    }

    fn finish(&mut self) -> Written<(HeaderMap, Vec<u8>)> {
        self.body(Vec::new())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(id), Some(kind)) = (words.next(), words.next()) else {
        return Err("usage: rust-events ID TYPE".into());
    };
    let event = EventBuilderV10::new()
        .id(id)
        .ty(kind)
        .source("/rust")
        .subject("söme thing")
        .extension("tenant", "a b")
        .extension("count", 7)
        .data("application/json", json!({ "n": 7, "s": "ünï" }))
        .build()?;
    let binary: Request<Option<Vec<u8>>> = event.clone().try_into()?;
    let (headers, body) =
        StructuredDeserializer::deserialize_structured(event.clone(), Serializer::new(Message::default()))?;
    let messages = [
        message(binary.headers(), binary.body().as_deref().unwrap_or_default())?,
        message(&headers, &body)?,
        batch(&[event])?,
    ];
    println!("{}", Value::from(messages.to_vec()));
    Ok(())
}

fn batch(events: &[Event]) -> Result<Value, Box<dyn Error>> {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/cloudevents-batch+json"));
    message(&headers, &serde_json::to_vec(events)?)
}

fn message(headers: &HeaderMap, body: &[u8]) -> Result<Value, Box<dyn Error>> {
    let characters = |value: &HeaderValue| value.as_bytes().iter().copied().map(char::from).collect::<String>();
    let headers: serde_json::Map<String, Value> =
        headers.iter().map(|(name, value)| (name.to_string(), characters(value).into())).collect();
    Ok(json!({ "headers": headers, "body": std::str::from_utf8(body)? }))
}
