//! Bodies that are bytes.

use serde_json::{Value, json};

use super::operations;

/// Says of each body of plain bytes that it is that: the macros write a list of integers, which generators take by its word.
pub(super) fn mark(document: &mut Value) {
    for operation in operations(document) {
        let Some(operation) = operation.as_object_mut() else { continue };
        operation.get_mut("requestBody").into_iter().for_each(mark_content);
        let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
        responses.into_iter().flatten().for_each(|(_, response)| mark_content(response));
    }
}

fn mark_content(body: &mut Value) {
    if let Some(content) = body.pointer_mut("/content/application~1octet-stream") {
        content["schema"] = json!({ "type": "string", "format": "binary" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_no_list_of_numbers() {
        let list = json!({"content": {"application/octet-stream": {"schema": {"type": "array"}}}});
        let text = json!({"content": {"text/plain": {"schema": {"type": "string"}}}});
        let mut document =
            json!({"paths": {"/a": {"put": {"requestBody": list.clone(), "responses": {"200": list, "400": text}}}}});
        mark(&mut document);
        let put = &document["paths"]["/a"]["put"];
        let bytes = json!({"type": "string", "format": "binary"});
        assert_eq!(put["requestBody"]["content"]["application/octet-stream"]["schema"], bytes);
        assert_eq!(put["responses"]["200"]["content"]["application/octet-stream"]["schema"], bytes);
        assert_eq!(put["responses"]["400"], text);
    }
}
