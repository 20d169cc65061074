//! What the server sends to others: callbacks at the end of runs.

use serde_json::{Value, json};

use super::schemas;

/// Describes the callback, which no route of this server takes.
pub(super) fn describe(document: &mut Value) {
    if let Some(schemas) = schemas(document) {
        schemas.insert("RunEndedMessage".to_owned(), message());
        schemas.insert("RunEnded".to_owned(), data());
        schemas.insert("RunEndedError".to_owned(), error());
    }
    document["webhooks"] = json!({ "runs.ended": { "post": {
        "operationId": "webhooks.runEnded",
        "tags": ["callbacks"],
        "summary": "A background run has ended.",
        "description": "Sent to the run's `X-Callback-Url`, signed as Standard Webhooks says. `webhook-id` is the run's id and the \
                        same in every attempt. The functions that `background.on_success` and `background.on_failure` name get the \
                        same document as their input.",
        "security": [],
        "parameters": [
            header("webhook-id", "the run's id"),
            header("webhook-timestamp", "when this attempt was signed, in seconds since 1970"),
            header("webhook-signature", "`v1,` and a signature in base64; after a rotation one of each secret"),
        ],
        "requestBody": {
            "required": true,
            "content": { "application/json": {
                "schema": { "$ref": "#/components/schemas/RunEndedMessage" },
                "example": example(),
            } },
        },
        "responses": {
            "2XX": { "description": "It has arrived." },
            "410": { "description": "No more of this: the message is not sent again." },
            "default": { "description": "It is sent again later, up to 12 times within a day." },
        },
    } } });
}

fn header(name: &str, description: &str) -> Value {
    json!({ "name": name, "in": "header", "required": true, "description": description, "schema": { "type": "string" } })
}

fn message() -> Value {
    json!({
        "type": "object",
        "description": "The end of a run.",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": { "type": "string", "description": "`run.succeeded`, `run.failed` or `run.cancelled`; others may come" },
            "timestamp": { "type": "string", "format": "date-time", "description": "When the run ended." },
            "data": { "$ref": "#/components/schemas/RunEnded" },
        },
    })
}

fn data() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let time =
        |description: &str| json!({ "type": ["string", "null"], "format": "date-time", "description": description });
    json!({
        "type": "object",
        "description": "A run that has ended.",
        "required": ["run_id", "function", "version", "state", "result", "http_status", "error", "attempts", "created_at",
                     "started_at", "finished_at", "run", "input"],
        "properties": {
            "run_id": text("The run."),
            "function": text("The function's name."),
            "version": { "type": "integer", "minimum": 1, "description": "The version that ran." },
            "state": text("How it ended, as in the run itself."),
            "result": { "description": "The reply, where it is JSON of up to 64 KB." },
            "http_status": { "type": ["integer", "null"], "description": "The status that the function chose." },
            "error": { "oneOf": [{ "type": "null" }, { "$ref": "#/components/schemas/RunEndedError" }] },
            "attempts": { "type": "integer", "description": "How often it was tried." },
            "created_at": { "type": "string", "format": "date-time", "description": "When it was accepted." },
            "started_at": time("When the last attempt began."),
            "finished_at": time("When it ended."),
            "run": text("The path of the run at this server."),
            "input": text("The path of its input at this server."),
        },
    })
}

fn error() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "type": "object",
        "description": "Why a run failed.",
        "required": ["code", "message"],
        "properties": {
            "code": text("The entry of the error catalogue."),
            "message": text("What happened."),
            "type": text("What the function raised."),
            "file": text("Where it raised."),
            "line": { "type": "integer", "description": "Where it raised." },
        },
    })
}

fn example() -> Value {
    json!({
        "type": "run.succeeded",
        "timestamp": "2026-11-21T08:00:00.250Z",
        "data": {
            "run_id": "run_01M7V2Q8Z50000000000000000", "function": "add", "version": 3, "state": "succeeded",
            "result": { "result": 2 }, "http_status": 200, "error": null, "attempts": 1,
            "created_at": "2026-11-21T08:00:00.000Z", "started_at": "2026-11-21T08:00:00.100Z",
            "finished_at": "2026-11-21T08:00:00.250Z", "run": "/api/v1/runs/run_01M7V2Q8Z50000000000000000",
            "input": "/api/v1/runs/run_01M7V2Q8Z50000000000000000/input",
        },
    })
}
