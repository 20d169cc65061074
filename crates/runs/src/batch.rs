//! The messages of a run: what its function is called with, and which of them it has done. Pure.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use faas_types::{Batch, Fault};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// A body that carries messages.
#[derive(Deserialize)]
struct Carried<'a> {
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Head<'a> {
    id: &'a str,
}

/// The body that carries messages; each is a JSON object.
pub fn body<'a>(messages: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut body = BytesMut::from(&b"{\"messages\":["[..]);
    for (index, message) in messages.into_iter().enumerate() {
        if index > 0 {
            body.extend_from_slice(b",");
        }
        body.extend_from_slice(message);
    }
    body.extend_from_slice(b"]}");
    body.freeze()
}

/// The same with what is left only, each message with the number of the attempt.
pub(crate) fn of_attempt(body: &[u8], batch: &Batch, attempt: u32) -> Result<Bytes, Fault> {
    let carried = read(body)?;
    let told: Vec<Vec<u8>> = left(&carried, batch)
        .map(|(_, message)| {
            let open = message.get().strip_suffix('}').unwrap_or_default();
            format!("{open},\"attempt\":{attempt}}}").into_bytes()
        })
        .collect();
    Ok(self::body(told.iter().map(Vec::as_slice)))
}

/// The same with what is left only, and how many messages that is.
pub(crate) fn remaining(body: &[u8], batch: &Batch) -> Result<(Bytes, Batch), Fault> {
    let carried = read(body)?;
    let left: Vec<&[u8]> = left(&carried, batch).map(|(_, message)| message.get().as_bytes()).collect();
    let messages = u16::try_from(left.len()).unwrap_or(u16::MAX);
    Ok((self::body(left), Batch { messages, left: None }))
}

/// The messages that an answer names as not done, by their places; none when all are.
///
/// # Errors
/// What is wrong with the answer. Then nothing of it can be relied on, and no message is done.
pub(crate) fn failed(body: &[u8], batch: &Batch, answer: &[u8]) -> Result<Vec<u16>, String> {
    let ids = named(answer)?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let carried = read(body).map_err(|fault| fault.message)?;
    let mut places = HashMap::new();
    for (place, message) in left(&carried, batch) {
        let head: Head<'_> = serde_json::from_str(message.get()).map_err(|_| corrupt().message)?;
        places.insert(head.id, place);
    }
    let place = |id: &String| {
        let shown: String = id.chars().take(64).collect();
        places.get(id.as_str()).copied().ok_or_else(|| format!("the answer names `{shown}`, which is no message of it"))
    };
    let mut failed = ids.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    failed.sort_unstable();
    failed.dedup();
    Ok(failed)
}

/// The ids below `failed`, or below `batchItemFailures` as `itemIdentifier`.
fn named(answer: &[u8]) -> Result<Vec<String>, String> {
    let mut answer = match serde_json::from_slice(answer) {
        Ok(Value::Object(answer)) => answer,
        Err(_) if answer.trim_ascii_start().starts_with(b"{") => {
            return Err("the answer looks like JSON and cannot be read".to_owned());
        }
        _ => return Ok(Vec::new()),
    };
    let mut ids = Vec::new();
    for key in ["failed", "batchItemFailures"] {
        let wrong = || format!("`{key}` of the answer is not a list of ids");
        let items = match answer.remove(key) {
            None | Some(Value::Null) => continue,
            Some(Value::Array(items)) => items,
            Some(_) => return Err(wrong()),
        };
        for item in items {
            match item {
                Value::String(id) if key == "failed" => ids.push(id),
                Value::Object(mut item) if key != "failed" => match item.remove("itemIdentifier") {
                    Some(Value::String(id)) => ids.push(id),
                    _ => return Err(wrong()),
                },
                _ => return Err(wrong()),
            }
        }
    }
    Ok(ids)
}

/// The messages that are not done, with their places.
fn left<'a>(carried: &'a Carried<'a>, batch: &'a Batch) -> impl Iterator<Item = (u16, &'a RawValue)> {
    let numbered = (0..u16::MAX).zip(carried.messages.iter().copied());
    numbered.filter(|(place, _)| batch.left.as_ref().is_none_or(|left| left.binary_search(place).is_ok()))
}

fn read(body: &[u8]) -> Result<Carried<'_>, Fault> {
    serde_json::from_slice(body).map_err(|_| corrupt())
}

fn corrupt() -> Fault {
    Fault::internal("the messages of a run cannot be read")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const ALL: Batch = Batch { messages: 3, left: None };

    fn three() -> Bytes {
        body([
            &b"{\"id\":\"a\",\"body\":{\"x\":{}}}"[..],
            b"{\"id\":\"b\",\"body\":1}",
            b"{\"id\":\"c\",\"body\":\"}\"}",
        ])
    }

    fn ids(body: &[u8]) -> Vec<(String, Value)> {
        let body: Value = serde_json::from_slice(body).expect("JSON");
        let messages = body["messages"].as_array().expect("a list");
        messages.iter().map(|m| (m["id"].as_str().expect("text").to_owned(), m["attempt"].clone())).collect()
    }

    #[test]
    fn attempts_carry_what_is_left() {
        let all = ids(&of_attempt(&three(), &ALL, 1).expect("read"));
        assert_eq!(all, ["a", "b", "c"].map(|id| (id.to_owned(), json!(1))));
        let some = Batch { messages: 3, left: Some(vec![0, 2]) };
        assert_eq!(ids(&of_attempt(&three(), &some, 2).expect("read")), ["a", "c"].map(|id| (id.to_owned(), json!(2))));
        let (body, batch) = remaining(&three(), &some).expect("read");
        assert_eq!((ids(&body).len(), batch), (2, Batch { messages: 2, left: None }));
        assert!(of_attempt(b"{}", &ALL, 1).is_err());
    }

    #[test]
    fn answers_name_what_failed() {
        let failed = |answer: Value| failed(&three(), &ALL, answer.to_string().as_bytes());
        for done in
            [json!(null), json!([1]), json!("failed"), json!({}), json!({"failed": []}), json!({"failed": null})]
        {
            assert_eq!(failed(done.clone()), Ok(vec![]), "{done}");
        }
        assert_eq!(failed(json!({"failed": ["c", "a", "a"]})), Ok(vec![0, 2]));
        assert_eq!(failed(json!({"batchItemFailures": [{"itemIdentifier": "b"}]})), Ok(vec![1]));
        for wrong in [
            json!({"failed": 3}),
            json!({"failed": ["a", "z"]}),
            json!({"failed": [1]}),
            json!({"failed": [""]}),
            json!({"batchItemFailures": ["a"]}),
            json!({"batchItemFailures": [{"itemIdentifier": null}]}),
        ] {
            assert!(failed(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(super::failed(&three(), &ALL, b"{\"failed\": [\"a\"").is_err(), "half an answer");
        assert_eq!(super::failed(&three(), &ALL, b"done"), Ok(vec![]));
        let some = Batch { messages: 3, left: Some(vec![1]) };
        assert!(super::failed(&three(), &some, b"{\"failed\": [\"a\"]}").is_err(), "it was done before");
    }

    proptest! {
        #[test]
        fn no_answer_harms(answer in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = failed(&three(), &ALL, &answer);
        }
    }
}
