//! Names for the variants of enums.

use serde_json::{Map, Value, json};

use super::schemas;

/// Makes each inline variant of an enum a schema with a name, and says which property tells variants apart.
pub(super) fn name(document: &mut Value) {
    let Some(schemas) = schemas(document) else { return };
    let mut named = Vec::new();
    for (name, schema) in schemas.iter_mut() {
        let Some(variants) = schema.get("oneOf").and_then(Value::as_array).filter(|all| all.len() > 1) else {
            continue;
        };
        let of = match common_tag(variants) {
            Some(tag) => Variants::tagged(name, &tag, variants),
            None => Variants::keyed(name, variants),
        };
        let Some(of) = of else { continue };
        schema["oneOf"] = of.references();
        if let Some(discriminator) = of.discriminator() {
            schema["discriminator"] = discriminator;
        }
        named.extend(of.named.into_iter().map(|one| (one.name, one.schema)));
    }
    schemas.extend(named);
}

/// The variants of one enum.
struct Variants {
    /// The property that has another value in each of them.
    tag: Option<String>,
    named: Vec<Variant>,
}

struct Variant {
    name: String,
    schema: Value,
    /// What stands in the tag.
    value: Option<String>,
}

// === impl Variants ===

impl Variants {
    /// Of an enum whose objects say in a property which variant they are.
    fn tagged(name: &str, tag: &str, variants: &[Value]) -> Option<Self> {
        let named = variants.iter().map(|variant| {
            let value = tag_value(variant, tag)?;
            let mut schema = variant.clone();
            fix_tag(&mut schema, tag);
            Some(Variant { name: format!("{name}{}", pascal_case(&value)), schema, value: Some(value) })
        });
        Some(Self { tag: Some(tag.to_owned()), named: named.collect::<Option<_>>()? })
    }

    /// Of an enum of plain words, and of objects with one property that says which variant they are. The words become
    /// one schema.
    fn keyed(name: &str, variants: &[Value]) -> Option<Self> {
        let mut words = Vec::new();
        let mut named = Vec::new();
        for variant in variants {
            if let Some(word) = constant(variant) {
                words.push(word);
                continue;
            }
            let mut keys = own_properties(variant).map(|(key, _)| key);
            let (Some(key), None) = (keys.next(), keys.next()) else { return None };
            let name = format!("{name}{}", pascal_case(key));
            named.push(Variant { name, schema: variant.clone(), value: None });
        }
        if !words.is_empty() {
            let schema = json!({ "type": "string", "enum": words });
            named.insert(0, Variant { name: format!("{name}Word"), schema, value: None });
        }
        (named.len() > 1).then_some(Self { tag: None, named })
    }

    fn references(&self) -> Value {
        self.named.iter().map(|one| json!({ "$ref": one.reference() })).collect()
    }

    fn discriminator(&self) -> Option<Value> {
        let tag = self.tag.as_ref()?;
        let entry = |one: &Variant| Some((one.value.clone()?, json!(one.reference())));
        let mapping: Map<String, Value> = self.named.iter().filter_map(entry).collect();
        Some(json!({ "propertyName": tag, "mapping": mapping }))
    }
}

// === impl Variant ===

impl Variant {
    fn reference(&self) -> String {
        format!("#/components/schemas/{}", self.name)
    }
}

/// The property that has one value of its own in each variant.
fn common_tag(variants: &[Value]) -> Option<String> {
    let (first, others) = variants.split_first()?;
    let mut tags = properties(first).filter(|(_, schema)| constant(schema).is_some()).map(|(name, _)| name);
    tags.find(|tag| others.iter().all(|other| tag_value(other, tag).is_some())).cloned()
}

fn tag_value(variant: &Value, tag: &str) -> Option<String> {
    properties(variant).find(|(name, _)| *name == tag).and_then(|(_, schema)| constant(schema)).map(ToOwned::to_owned)
}

/// Writes the tag as a constant: generators make an enum with a number in its name of every list with one value.
fn fix_tag(variant: &mut Value, tag: &str) {
    if let Some(schema) = variant.get_mut("properties").and_then(|properties| properties.get_mut(tag))
        && let Some(value) = constant(schema).map(ToOwned::to_owned)
    {
        *schema = json!({ "type": "string", "const": value });
    }
    for part in variant.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
        fix_tag(part, tag);
    }
}

/// The properties that a variant has itself, also as a part of `allOf`.
fn properties(variant: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let parts = variant.get("allOf").and_then(Value::as_array).into_iter().flatten();
    std::iter::once(variant).chain(parts).flat_map(own_properties)
}

fn own_properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// The only text that a schema allows.
fn constant(schema: &Value) -> Option<&str> {
    match schema.get("enum")?.as_array()?.as_slice() {
        [only] => only.as_str(),
        _ => None,
    }
}

fn pascal_case(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    };
    words.map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_of_a_tagged_enum_get_names() {
        let variant = |kind: Value| json!({"type": "object", "properties": {"kind": kind, "size": {}}});
        let part = |kind: Value| json!({"allOf": [{"$ref": "#/components/schemas/Big"}, variant(kind)]});
        let (list, only) =
            (|kind: &str| json!({"enum": [kind]}), |kind: &str| json!({"type": "string", "const": kind}));
        let mut document = json!({"components": {"schemas": {
            "Thing": {"oneOf": [variant(list("small")), part(list("very_big"))]},
        }}});
        name(&mut document);
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["Thing"]["oneOf"][1]["$ref"], "#/components/schemas/ThingVeryBig");
        assert_eq!(schemas["Thing"]["discriminator"]["propertyName"], "kind");
        assert_eq!(schemas["Thing"]["discriminator"]["mapping"]["small"], "#/components/schemas/ThingSmall");
        assert_eq!(schemas["ThingSmall"], variant(only("small")));
        assert_eq!(schemas["ThingVeryBig"], part(only("very_big")));
    }

    #[test]
    fn words_beside_objects_become_one_schema() {
        let all = json!({"type": "object", "properties": {"all": {"type": "integer"}}});
        let mixed = json!({"oneOf": [{"type": "string"}, {"type": "integer"}]});
        let mut document = json!({"components": {"schemas": {
            "Missed": {"oneOf": [{"enum": ["skip"]}, {"enum": ["once"]}, all]},
            "Mixed": mixed,
        }}});
        name(&mut document);
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["MissedWord"], json!({"type": "string", "enum": ["skip", "once"]}));
        assert_eq!(schemas["MissedAll"], all);
        assert!(schemas["Missed"].get("discriminator").is_none());
        assert_eq!(schemas["Mixed"], mixed);
    }
}
