//! Other names for the same keys: those of `function.config.*` and of `platform.yaml`. A tree in a dialect becomes the tree
//! that `faas.toml` would have given; every value keeps its place in the file.

use super::node::{Key, Node, Value};
use super::reader::Reader;

/// Names by file: `(theirs, ours)`.
const FUNCTION_CONFIG: &[(&str, &str)] = &[("handler", "entrypoint"), ("environment", "vars")];
const SCALING: &[(&str, &str)] =
    &[("minInstances", "min"), ("maxInstances", "max"), ("targetConcurrency", "concurrency")];
const SCHEDULE: &[(&str, &str)] = &[("cron", "schedule")];
const PLATFORM: &[(&str, &str)] = &[("env", "vars")];
/// Keys of `vpc`. They may only say that the function has no private network.
const VPC_KEYS: &[&str] = &["enabled", "subnetIds", "securityGroupIds"];
const LIMIT_KEYS: &[&str] = &["timeout", "memory", "concurrency"];

/// Reads the names of `function.config.*`.
pub(super) fn function_config(reader: &mut Reader, root: &mut Node) {
    let Value::Table(rows) = &mut root.value else { return };
    rename(reader, "", rows, FUNCTION_CONFIG);
    if let Some(node) = remove(rows, "vpc") {
        vpc(reader, &node);
    }
    for (key, node) in rows {
        match (key.text.as_str(), &mut node.value) {
            ("entrypoint", Value::Text(text)) => *text = entrypoint(text),
            // Plain numbers are megabytes there.
            ("memory", value @ Value::Int(0..)) => {
                if let Value::Int(megabytes) = value {
                    *value = Value::Text(format!("{megabytes}MB"));
                }
            }
            ("scaling", Value::Table(rows)) => rename(reader, "scaling", rows, SCALING),
            ("triggers", Value::List(items)) => items.iter_mut().enumerate().for_each(|item| trigger(reader, item)),
            _ => {}
        }
    }
}

/// Reads the names that `platform.yaml` has besides those of `faas.toml`.
pub(super) fn platform(reader: &mut Reader, root: &mut Node) {
    let Value::Table(rows) = &mut root.value else { return };
    rename(reader, "", rows, PLATFORM);
    if let Some(node) = remove(rows, "invocation_mode") {
        put_below(reader, rows, "background", "mode", node);
    }
    let Some(node) = remove(rows, "runtime_limits") else { return };
    let Some(table) = reader.table("runtime_limits", &node) else { return };
    reader.refuse_unknown(&table, LIMIT_KEYS);
    for (key, node) in table.rows() {
        match key.text.as_str() {
            "concurrency" => put_below(reader, rows, "scaling", "concurrency", node.clone()),
            "timeout" | "memory" => put(reader, "", rows, key.clone(), node.clone()),
            _ => {}
        }
    }
}

/// `index.handler` means the name behind the last dot of the file before it.
fn entrypoint(text: &str) -> String {
    match text.rsplit_once('.') {
        Some((file, name)) if !text.contains(':') => format!("{file}:{name}"),
        _ => text.to_owned(),
    }
}

fn trigger(reader: &mut Reader, (index, node): (usize, &mut Node)) {
    let Value::Table(rows) = &mut node.value else { return };
    let kind = rows.iter_mut().find(|(key, _)| key.text == "type").map(|(_, node)| &mut node.value);
    if let Some(Value::Text(kind)) = kind
        && kind == "schedule"
    {
        "cron".clone_into(kind);
        rename(reader, &format!("triggers[{index}]"), rows, SCHEDULE);
    }
}

fn vpc(reader: &mut Reader, node: &Node) {
    let Some(table) = reader.table("vpc", node) else { return };
    reader.refuse_unknown(&table, VPC_KEYS);
    match table.get("enabled") {
        Some(Node { value: Value::Bool(true), at }) => {
            let message = "`vpc.enabled` is not supported: functions run on your own machine, whose network `network` describes; \
                           remove `vpc`";
            reader.problem("vpc.enabled", *at, message);
        }
        Some(Node { value: Value::Bool(false), .. }) | None => {}
        Some(node) => reader.problem("vpc.enabled", node.at, "`vpc.enabled` must be true or false"),
    }
}

fn rename(reader: &mut Reader, path: &str, rows: &mut Vec<(Key, Node)>, names: &[(&str, &str)]) {
    for (theirs, ours) in names {
        if let Some(index) = rows.iter().position(|(key, _)| key.text == *theirs) {
            let (key, node) = rows.remove(index);
            put(reader, path, rows, Key { text: (*ours).to_owned(), at: key.at }, node);
        }
    }
}

/// Adds a row, unless the key is there already under its own name.
fn put(reader: &mut Reader, path: &str, rows: &mut Vec<(Key, Node)>, key: Key, node: Node) {
    if rows.iter().any(|(other, _)| other.text == key.text) {
        let field = if path.is_empty() { key.text } else { format!("{path}.{}", key.text) };
        let message = format!("`{field}` is there twice, under two names; keep one");
        reader.problem(field, key.at.or(node.at), message);
    } else {
        rows.push((key, node));
    }
}

/// Adds a row to a table of `rows`, which is made when it is not there.
fn put_below(reader: &mut Reader, rows: &mut Vec<(Key, Node)>, table: &str, key: &str, node: Node) {
    let at = node.at;
    if !rows.iter().any(|(other, _)| other.text == table) {
        rows.push((Key { text: table.to_owned(), at }, Node { value: Value::Table(Vec::new()), at }));
    }
    let found = rows.iter_mut().find(|(other, _)| other.text == table);
    // Values that are not tables are reported when they are read.
    if let Some((_, Node { value: Value::Table(rows), .. })) = found {
        put(reader, table, rows, Key { text: key.to_owned(), at }, node);
    }
}

fn remove(rows: &mut Vec<(Key, Node)>, name: &str) -> Option<Node> {
    let index = rows.iter().position(|(key, _)| key.text == name)?;
    Some(rows.remove(index).1)
}
