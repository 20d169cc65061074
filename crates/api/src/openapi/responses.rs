//! Descriptions of responses, and one component for responses that many operations have.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::operations;

const PROBLEM: &str = "application/problem+json";

/// Gives each response the description that OpenAPI asks for.
pub(super) fn describe(document: &mut Value) {
    for operation in operations(document) {
        for (status, response) in responses(operation) {
            let is_described = response.get("description").and_then(Value::as_str).is_some_and(|text| !text.is_empty());
            if !is_described && let Some(response) = response.as_object_mut() {
                let reason = status.parse::<StatusCode>().ok().and_then(|status| status.canonical_reason());
                response.insert("description".to_owned(), json!(reason.unwrap_or("The answer")));
            }
        }
    }
}

/// Replaces problems that several operations answer by references to one component.
pub(super) fn share(document: &mut Value) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for operation in operations(document) {
        for (status, response) in responses(operation) {
            if let Some(name) = shared_name(status, response) {
                *counts.entry(name).or_default() += 1;
            }
        }
    }
    let mut shared: Map<String, Value> = Map::new();
    for operation in operations(document) {
        for (status, response) in responses(operation) {
            let Some(name) = shared_name(status, response).filter(|name| counts.get(name).is_some_and(|&n| n > 1))
            else {
                continue;
            };
            let first = shared.entry(name.clone()).or_insert_with(|| response.clone());
            if first == response {
                *response = json!({ "$ref": format!("#/components/responses/{name}") });
            }
        }
    }
    if let Some(components) = document.get_mut("components").and_then(Value::as_object_mut) {
        components.insert("responses".to_owned(), Value::Object(shared));
    }
}

fn responses(operation: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    operation.get_mut("responses").and_then(Value::as_object_mut).into_iter().flatten()
}

/// A name made of what is described and the status: `NoSuchFunction404`.
fn shared_name(status: &str, response: &Value) -> Option<String> {
    response.get("content")?.get(PROBLEM)?;
    let description = response.get("description")?.as_str()?;
    let mut name = String::new();
    for word in description.split(|c: char| !c.is_ascii_alphanumeric()) {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    Some(name + status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_that_several_operations_answer_are_shared() {
        let problem = json!({"description": "no such run", "content": {PROBLEM: {}}});
        let once = json!({"description": "a name's taken", "content": {PROBLEM: {}}});
        let mut document = json!({"components": {}, "paths": {
            "/a": {"get": {"responses": {"200": {}, "404": problem}}},
            "/b": {"get": {"responses": {"404": problem, "409": once}}, "parameters": []},
        }});
        describe(&mut document);
        share(&mut document);
        let reference = json!({"$ref": "#/components/responses/NoSuchRun404"});
        assert_eq!(document["components"]["responses"], json!({"NoSuchRun404": problem}));
        assert_eq!(
            document["paths"]["/a"]["get"]["responses"],
            json!({"200": {"description": "OK"}, "404": reference})
        );
        assert_eq!(document["paths"]["/b"]["get"]["responses"], json!({"404": reference, "409": once}));
    }
}
