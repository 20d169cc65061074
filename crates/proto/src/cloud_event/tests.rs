use proptest::prelude::*;
use serde_json::json;

use super::*;

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

const BINARY: [(&str, &str); 5] = [
    ("ce-specversion", "1.0"),
    ("ce-id", "a-1"),
    ("ce-source", "/shop/orders"),
    ("ce-type", "order.paid"),
    ("content-type", "application/json"),
];

fn structured(body: &serde_json::Value) -> Result<Vec<CloudEvent>, InvalidEvent> {
    CloudEvent::read(&headers(&[("content-type", "application/cloudevents+json; charset=utf-8")]), &text(body))
}

fn text(body: &serde_json::Value) -> Bytes {
    body.to_string().into()
}

fn named(attribute: &str, found: &Result<Vec<CloudEvent>, InvalidEvent>) -> bool {
    matches!(found, Err(InvalidEvent::Attribute { attribute: name, .. }) if name == attribute)
}

#[test]
fn binary_mode_keeps_attributes_and_bytes() -> anyhow::Result<()> {
    let mut sent = headers(&BINARY);
    sent.push(("ce-subject".to_owned(), "Z%C3%BCrich %22west%22".to_owned()));
    sent.push(("ce-traceparent".to_owned(), "00-abc-def-01".to_owned()));
    let body = Bytes::from_static(b"{\"a\":  1.0}");
    let event = CloudEvent::read(&sent, &body)?.remove(0);
    assert_eq!((event.id.as_str(), event.source.as_str(), event.kind.as_str()), ("a-1", "/shop/orders", "order.paid"));
    assert_eq!(event.subject.as_deref(), Some("Zürich \"west\""));
    assert_eq!(event.extensions["traceparent"], Extension::Text("00-abc-def-01".to_owned()));
    assert_eq!(event.data.as_ref(), Some(&body));
    assert_eq!(CloudEvent::read(&event.headers(), &body)?, [event]);
    Ok(())
}

#[test]
fn structured_mode_keeps_types_and_the_text_of_the_data() -> anyhow::Result<()> {
    let body = Bytes::from_static(
        br#"{"specversion":"1.0","id":"1","source":"urn:x","type":"t","big":true,"count":-7,"subject":null,
            "data":{"n": 1.50, "deep": [1, 2]}}"#,
    );
    let sent = headers(&[("content-type", STRUCTURED)]);
    let event = CloudEvent::read(&sent, &body)?.remove(0);
    assert_eq!(event.data.as_deref(), Some(&br#"{"n": 1.50, "deep": [1, 2]}"#[..]));
    assert_eq!(event.extensions["big"], Extension::Boolean(true));
    assert_eq!(event.extensions["count"], Extension::Integer(-7));
    assert_eq!(event.subject, None);
    Ok(())
}

#[test]
fn data_is_json_text_or_bytes() -> anyhow::Result<()> {
    let event = |members: serde_json::Value| {
        let mut whole = json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t"});
        for (name, value) in members.as_object().into_iter().flatten() {
            whole[name] = value.clone();
        }
        structured(&whole).map(|mut events| events.remove(0))
    };
    let plain = event(json!({"datacontenttype": "text/plain", "data": "hi"}))?;
    assert_eq!(plain.data.as_deref(), Some(&b"hi"[..]));
    let quoted = event(json!({"data": "hi"}))?;
    assert_eq!(quoted.data.as_deref(), Some(&b"\"hi\""[..]));
    let bytes = event(json!({"datacontenttype": "image/png", "data_base64": "//8A"}))?;
    assert_eq!(bytes.data.as_deref(), Some(&[255, 255, 0][..]));
    for whole in [plain, quoted, bytes] {
        assert_eq!(structured(&whole.to_json())?, [whole]);
    }
    let both = event(json!({"data": 1, "data_base64": "AA=="}));
    assert!(matches!(both, Err(InvalidEvent::Attribute { attribute, .. }) if attribute.starts_with("data")));
    Ok(())
}

#[test]
fn batches_are_taken_whole_or_not_at_all() -> anyhow::Result<()> {
    let good = json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t"});
    let sent = headers(&[("content-type", BATCH)]);
    assert_eq!(CloudEvent::read(&sent, &text(&json!([good, good])))?.len(), 2);
    assert_eq!(CloudEvent::read(&sent, &text(&json!([])))?.len(), 0);
    let mut bad = good.clone();
    bad["source"] = json!("");
    let refused = CloudEvent::read(&sent, &text(&json!([good, bad])));
    assert_eq!(refused.map_err(|e| e.to_string()), Err("attribute `source` of event 1 is empty".to_owned()));
    let many = CloudEvent::read(&sent, &text(&json!(vec![good; BATCH_MAX + 1])));
    assert_eq!(many, Err(InvalidEvent::TooMany(BATCH_MAX + 1)));
    Ok(())
}

#[test]
fn what_is_wrong_is_named() {
    assert_eq!(CloudEvent::read(&[], &Bytes::new()), Err(InvalidEvent::NotAnEvent));
    for index in 0..4 {
        let mut lacking = headers(&BINARY);
        let (name, _) = lacking.remove(index);
        assert!(named(&name["ce-".len()..], &CloudEvent::read(&lacking, &Bytes::new())), "{name}");
    }
    let wrong = [
        ("ce-specversion", "0.3", "specversion"),
        ("ce-source", "not a uri", "source"),
        ("ce-time", "yesterday", "time"),
        ("ce-id", "%zz", "id"),
        ("ce-type", "%ff", "type"),
        ("ce-my_name", "x", "my_name"),
        ("ce-datacontenttype", "text/plain", "datacontenttype"),
    ];
    for (header, value, attribute) in wrong {
        let mut sent = headers(&BINARY);
        sent.retain(|(name, _)| name != header);
        sent.push((header.to_owned(), value.to_owned()));
        assert!(named(attribute, &CloudEvent::read(&sent, &Bytes::new())), "{header}: {value}");
    }
    assert!(named("id", &structured(&json!({"specversion": "1.0", "id": 7, "source": "/s", "type": "t"}))));
    assert!(named("nested", &structured(&json!({"specversion": "1.0", "nested": {}}))));
    assert!(matches!(structured(&json!([])), Err(InvalidEvent::Json { .. })));
    let twice = Bytes::from_static(br#"{"specversion":"1.0","id":"1","id":"2","source":"/s","type":"t"}"#);
    assert!(named("id", &CloudEvent::read(&headers(&[("content-type", STRUCTURED)]), &twice)));
}

proptest! {
    #[test]
    fn binary_mode_carries_any_text(id in "\\PC{1,40}", subject in "\\PC{1,40}", data in prop::collection::vec(any::<u8>(), 1..60)) {
        let event = CloudEvent {
            id, source: "/s".to_owned(), kind: "t".to_owned(), subject: Some(subject), time: None, content_type: None,
            schema: None, extensions: BTreeMap::new(), data: Some(data.clone().into()),
        };
        prop_assert_eq!(CloudEvent::read(&event.headers(), &data.into()), Ok(vec![event]));
    }

    #[test]
    fn noise_is_refused_without_panic(body in "[ -~]{0,200}", batched in any::<bool>()) {
        let kind = if batched { BATCH } else { STRUCTURED };
        let _ = CloudEvent::read(&headers(&[("content-type", kind)]), &body.into());
    }
}
