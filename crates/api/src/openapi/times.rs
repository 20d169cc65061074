//! The format of times.

use serde_json::{Value, json};

use super::schemas;

/// Marks each text named `at` or `…_at` as a time of RFC 3339, which all of them are.
pub(super) fn mark(document: &mut Value) {
    for (_, schema) in schemas(document).into_iter().flatten() {
        mark_properties(schema);
    }
}

fn mark_properties(schema: &mut Value) {
    let Some(parts) = schema.as_object_mut() else { return };
    for (name, property) in parts.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        if (name == "at" || name.ends_with("_at")) && is_text(property) {
            property["format"] = json!("date-time");
        }
        mark_properties(property);
    }
    for list in ["oneOf", "allOf", "anyOf"] {
        parts.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().for_each(mark_properties);
    }
    parts.get_mut("items").into_iter().for_each(mark_properties);
}

/// Text, or text that may be null.
fn is_text(schema: &Value) -> bool {
    match schema.get("type") {
        Some(Value::String(only)) => only == "string",
        Some(Value::Array(all)) => all.iter().all(|one| one == "string" || one == "null"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_format_and_numbers_do_not() {
        let mut document = json!({"components": {"schemas": {"Run": {"properties": {
            "ended_at": {"type": ["string", "null"]},
            "started_at": {"type": "integer"},
            "what": {"type": "string"},
            "attempts": {"type": "array", "items": {"properties": {"at": {"type": "string"}}}},
        }}}}});
        mark(&mut document);
        let properties = &document["components"]["schemas"]["Run"]["properties"];
        assert_eq!(properties["ended_at"]["format"], "date-time");
        assert_eq!(properties["attempts"]["items"]["properties"]["at"]["format"], "date-time");
        assert!(properties["started_at"].get("format").is_none());
        assert!(properties["what"].get("format").is_none());
    }
}
