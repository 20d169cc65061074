//! Response headers that follow from what an operation is.

use serde_json::{Map, Value, json};

use super::operations;

/// What the platform says of a call, whatever the function answered.
const OF_CALLS: [(&str, &str); 6] = [
    ("X-Run-Id", "RunId"),
    ("X-Function-Version", "FunctionVersion"),
    ("X-Duration-Ms", "DurationMs"),
    ("X-Cold-Start", "ColdStart"),
    ("X-Error-Source", "ErrorSource"),
    ("Preference-Applied", "PreferenceApplied"),
];

/// What a resource is shown as whose state has an `ETag`.
const TAGGED: [&str; 7] =
    ["FunctionView", "AliasView", "KeyView", "PolicyView", "RetentionView", "TriggerView", "VarList"];

/// Declares what every answer has, and what failures, repetitions and calls have besides.
pub(super) fn declare(document: &mut Value) {
    for operation in operations(document) {
        let is_call = operation.get("operationId").is_some_and(|id| id == "functions.invoke");
        let is_tagged = is_tagged(operation);
        let parameters = operation.get("parameters").and_then(Value::as_array);
        let is_named = parameters.is_some_and(|all| all.iter().any(|one| one["name"] == "Idempotency-Key"));
        for (status, response) in operation.get_mut("responses").and_then(Value::as_object_mut).into_iter().flatten() {
            let Some(response) = response.as_object_mut() else { continue };
            let Some(headers) = response.entry("headers").or_insert_with(|| json!({})).as_object_mut() else {
                continue;
            };
            refer(headers, "X-Request-Id", "RequestId");
            refer(headers, "Faas-Version", "FaasVersion");
            if matches!(status.as_str(), "429" | "503" | "507") {
                refer(headers, "Retry-After", "RetryAfter");
            }
            if status == "429" {
                refer(headers, "RateLimit", "RateLimit");
            }
            if is_named && status.starts_with('2') {
                refer(headers, "Idempotency-Replayed", "IdempotencyReplayed");
            }
            if is_tagged && status == "200" {
                refer(headers, "ETag", "ETag");
            }
            if is_call {
                OF_CALLS.iter().for_each(|(name, component)| refer(headers, name, component));
            }
            if is_call && status == "202" {
                refer(headers, "Location", "RunLocation");
            }
        }
    }
    if let Some(components) = document.get_mut("components").and_then(Value::as_object_mut) {
        components.insert("headers".to_owned(), definitions());
    }
}

/// Whether the answer names the state of what it shows. Verbs answer with what they changed, without its state.
fn is_tagged(operation: &Value) -> bool {
    let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default();
    let schema = operation.get("responses").and_then(|all| all.pointer("/200/content/application~1json/schema/$ref"));
    let shown = schema.and_then(Value::as_str).and_then(|place| place.rsplit('/').next()).unwrap_or_default();
    TAGGED.contains(&shown) && !id.ends_with("pause") && !id.ends_with("resume")
}

fn refer(headers: &mut Map<String, Value>, name: &str, component: &str) {
    headers.insert(name.to_owned(), json!({ "$ref": format!("#/components/headers/{component}") }));
}

fn definitions() -> Value {
    let header = |description: &str, schema: Value| json!({ "description": description, "schema": schema });
    let text = || json!({ "type": "string" });
    json!({
        "RequestId": header("The request's id, as in the server's log. A caller may choose it by the same header.", text()),
        "FaasVersion": header("The release of the server.", text()),
        "RetryAfter": header(
            "Seconds until it is worth sending the request again.",
            json!({ "type": "integer", "minimum": 0 }),
        ),
        "ETag": header("The state of what is shown. Send it as `If-Match` to change it only if it is still that.", text()),
        "RateLimit": header(
            "What is left of the limit, `r=0`, and in how many seconds there is more, `t`. There where the limit ends by itself.",
            text(),
        ),
        "IdempotencyReplayed": header(
            "`true` where it is the answer of an earlier request with the same `Idempotency-Key`.",
            text(),
        ),
        "RunId": header("The run.", text()),
        "FunctionVersion": header("The number of the version that ran.", json!({ "type": "integer", "minimum": 1 })),
        "DurationMs": header("How long the call took, in milliseconds.", json!({ "type": "number" })),
        "ColdStart": header("Whether an instance had to start.", json!({ "type": "boolean" })),
        "ErrorSource": header("Of a failure: `function` where its own code failed, `platform` otherwise.", text()),
        "PreferenceApplied": header("What of `Prefer` was done.", text()),
        "RunLocation": header("The path of the run.", text()),
    })
}
