//! Response headers that every operation has.

use serde_json::{Value, json};

use super::operations;

/// Declares `X-Request-Id` on every response and `Retry-After` where a request may be sent again later.
pub(super) fn declare(document: &mut Value) {
    for operation in operations(document) {
        for (status, response) in operation.get_mut("responses").and_then(Value::as_object_mut).into_iter().flatten() {
            let Some(response) = response.as_object_mut() else { continue };
            let Some(headers) = response.entry("headers").or_insert_with(|| json!({})).as_object_mut() else {
                continue;
            };
            headers.insert("X-Request-Id".to_owned(), json!({ "$ref": "#/components/headers/RequestId" }));
            if matches!(status.as_str(), "429" | "503" | "507") {
                headers.insert("Retry-After".to_owned(), json!({ "$ref": "#/components/headers/RetryAfter" }));
            }
        }
    }
    if let Some(components) = document.get_mut("components").and_then(Value::as_object_mut) {
        components.insert("headers".to_owned(), definitions());
    }
}

fn definitions() -> Value {
    json!({
        "RequestId": {
            "description": "The request's id, as in the server's log. A caller may choose it by the same header.",
            "schema": { "type": "string" },
        },
        "RetryAfter": {
            "description": "Seconds until it is worth sending the request again.",
            "schema": { "type": "integer", "minimum": 0 },
        },
    })
}
