//! Examples of requests and answers, by operation. A test holds each against its schema.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::operations;

/// `request`, and answers by status, of each operation.
static EXAMPLES: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("examples.json")).expect("the unit test below has parsed the same file")
});

/// Adds the examples.
pub(super) fn add(document: &mut Value) {
    for operation in operations(document) {
        let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default();
        let Some(Value::Object(examples)) = EXAMPLES.get(id) else { continue };
        for (place, example) in examples {
            let pointer = match place.as_str() {
                "request" => "/requestBody/content/application~1json".to_owned(),
                status => format!("/responses/{status}/content/application~1json"),
            };
            if let Some(content) = operation.pointer_mut(&pointer) {
                content["example"] = example.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_of_requests_and_statuses() {
        assert!(EXAMPLES.len() >= 7);
        for (operation, examples) in &*EXAMPLES {
            let places = examples.as_object().expect("an object").keys();
            assert!(places.clone().all(|place| place == "request" || place.parse::<u16>().is_ok()), "{operation}");
        }
    }
}
