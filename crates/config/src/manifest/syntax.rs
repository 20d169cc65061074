//! From TOML, YAML and JSON to one tree. Each syntax has its own bound on nesting.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use toml::de::{DeTable, DeValue};

use super::node::{Key, Node, Position, Value};
use super::problem::ManifestErrors;
use super::reader::shorten;

/// A manifest needs four levels; what is deeper is an attack or a mistake.
pub(super) const DEPTH_MAX: usize = 32;
/// Letters of what a parser says.
const MESSAGE_MAX: usize = 300;

pub(super) fn from_toml(source: &str, text: &str) -> Result<Node, ManifestErrors> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map(|span| Position::of(text, span.start));
        ManifestErrors::whole(source, at, format!("this is not TOML: {}", one_line(error.message())))
    })?;
    let (span, table) = (table.span(), table.into_inner());
    Ok(Node { value: toml_table(text, table), at: Some(Position::of(text, span.start)) })
}

fn toml_table(text: &str, table: DeTable<'_>) -> Value {
    let rows = table.into_iter().map(|(key, value)| {
        let key = Key { at: Some(Position::of(text, key.span().start)), text: key.into_inner().into_owned() };
        let at = Some(Position::of(text, value.span().start));
        (key, Node { value: toml_value(text, value.into_inner()), at })
    });
    Value::Table(rows.collect())
}

fn toml_value(text: &str, value: DeValue<'_>) -> Value {
    match value {
        DeValue::String(string) => Value::Text(string.into_owned()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Float(f64::MAX), Value::Int)
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(truth) => Value::Bool(truth),
        DeValue::Datetime(_) => Value::Foreign("a date"),
        DeValue::Array(items) => {
            let nodes = items.into_iter().map(|item| {
                let at = Some(Position::of(text, item.span().start));
                Node { value: toml_value(text, item.into_inner()), at }
            });
            Value::List(nodes.collect())
        }
        DeValue::Table(table) => toml_table(text, table),
    }
}

pub(super) fn from_yaml(source: &str, text: &str) -> Result<Node, ManifestErrors> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: DEPTH_MAX, max_aliases: 100, max_nodes: 20_000 },
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let at = error.location().map(|place| Position {
            line: u32::try_from(place.line()).unwrap_or(u32::MAX),
            column: u32::try_from(place.column()).unwrap_or(u32::MAX),
        });
        let message = error.without_snippet().render_with_formatter(&serde_saphyr::UserMessageFormatter);
        ManifestErrors::whole(source, at, format!("this is not YAML: {}", one_line(&message)))
    })
}

pub(super) fn from_json(source: &str, value: serde_json::Value) -> Result<Node, ManifestErrors> {
    json_node(value, 0).ok_or_else(|| {
        ManifestErrors::whole(source, None, format!("it is nested deeper than {DEPTH_MAX} levels; make it flatter"))
    })
}

fn json_node(value: serde_json::Value, depth: usize) -> Option<Node> {
    use serde_json::Value as Json;
    if depth > DEPTH_MAX {
        return None;
    }
    let value = match value {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(truth),
        Json::Number(number) => {
            number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap_or(f64::NAN)), Value::Int)
        }
        Json::String(text) => Value::Text(text),
        Json::Array(items) => {
            Value::List(items.into_iter().map(|item| json_node(item, depth + 1)).collect::<Option<_>>()?)
        }
        Json::Object(rows) => {
            let rows =
                rows.into_iter().map(|(text, value)| Some((Key { text, at: None }, json_node(value, depth + 1)?)));
            Value::Table(rows.collect::<Option<_>>()?)
        }
    };
    Some(Node { value, at: None })
}

/// Parsers explain over several lines, and quote what they read; a problem is one line, and a quoted word is short.
fn one_line(message: &str) -> String {
    let line = message.split_whitespace().map(shorten).collect::<Vec<_>>().join(" ");
    line.chars().take(MESSAGE_MAX).collect()
}

// === impl Node ===

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let at = position(&spanned);
        Ok(Self { value: spanned.value, at })
    }
}

fn position<T>(spanned: &Spanned<T>) -> Option<Position> {
    let line = u32::try_from(spanned.referenced.line()).ok().filter(|line| *line > 0)?;
    Some(Position { line, column: u32::try_from(spanned.referenced.column()).ok()? })
}

// === impl Value ===

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, a boolean, a list or a table")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::Float(f64::MAX), Value::Int))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = items.next_element()? {
            nodes.push(node);
        }
        Ok(Value::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut rows: A) -> Result<Value, A::Error> {
        let mut table = Vec::new();
        while let Some(key) = rows.next_key::<Spanned<String>>()? {
            let key = Key { at: position(&key), text: key.value };
            table.push((key, rows.next_value()?));
        }
        Ok(Value::Table(table))
    }
}
