//! Triggers: what creates runs of a function.

use faas_types::{HttpMethod, TriggerSettings, limits};

use super::node::Node;
use super::reader::{Reader, Table, closest, shorten};

/// Keys of an HTTP trigger.
pub(super) const HTTP_KEYS: &[&str] = &["type", "path", "methods"];
/// Trigger types of later releases, which deserve a better answer than "unknown".
const LATER: &[&str] = &["webhook", "cron", "schedule", "queue", "event", "database", "storage", "auth"];
const METHODS: [(&str, HttpMethod); 7] = [
    ("GET", HttpMethod::Get),
    ("HEAD", HttpMethod::Head),
    ("POST", HttpMethod::Post),
    ("PUT", HttpMethod::Put),
    ("PATCH", HttpMethod::Patch),
    ("DELETE", HttpMethod::Delete),
    ("OPTIONS", HttpMethod::Options),
];
const PATH_MAX: usize = 200;

/// Reads `[[triggers]]`; `None` when it is not a list.
pub(super) fn triggers(reader: &mut Reader, node: &Node) -> Option<Vec<TriggerSettings>> {
    let items = reader.list("triggers", node)?;
    if items.len() > limits::TRIGGERS_MAX {
        let message = format!("`triggers` has more than {} entries; remove some", limits::TRIGGERS_MAX);
        reader.problem("triggers", node.at, message);
        return None;
    }
    let mut found = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let Some(table) = reader.table(&format!("triggers[{index}]"), item) else { continue };
        let Some(trigger) = trigger(reader, &table) else { continue };
        let TriggerSettings::Http { path, .. } = &trigger;
        let twice = found.iter().any(|TriggerSettings::Http { path: other, .. }| other == path);
        if twice {
            reader.problem(
                table.path_of("path"),
                item.at,
                format!("two http triggers take path {path}; merge their methods"),
            );
        }
        found.push(trigger);
    }
    Some(found)
}

fn trigger(reader: &mut Reader, table: &Table<'_>) -> Option<TriggerSettings> {
    let field = table.path_of("type");
    let Some(node) = table.get("type") else {
        reader.problem(&*field, table.at(), format!("`{field}` is missing; add type = \"http\""));
        return None;
    };
    match reader.text(&field, node)? {
        "http" => Some(http(reader, table)),
        later if LATER.contains(&later) => {
            let message = format!("trigger type `{later}` is not available in this release; use \"http\"");
            reader.problem(field, node.at, message);
            None
        }
        other => {
            let meant = closest(other, ["http"]).map_or("use \"http\"", |_| "did you mean \"http\"?");
            reader.problem(field, node.at, format!("unknown trigger type `{}`; {meant}", shorten(other)));
            None
        }
    }
}

fn http(reader: &mut Reader, table: &Table<'_>) -> TriggerSettings {
    reader.refuse_unknown(table, HTTP_KEYS);
    let path = path(reader, table).unwrap_or_else(|| "/".to_owned());
    let methods = methods(reader, table).unwrap_or_default();
    TriggerSettings::Http { path, methods }
}

fn path(reader: &mut Reader, table: &Table<'_>) -> Option<String> {
    let node = table.get("path")?;
    let field = table.path_of("path");
    let path = reader.text(&field, node)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&b);
    let dotted = path.split('/').any(|part| part == "." || part == "..");
    if !path.starts_with('/') || path.len() > PATH_MAX || dotted || path.contains("//") || !path.bytes().all(plain) {
        let message = format!(
            "`{field}` must be a URL path that starts with /, without query, `..` or spaces, at most {PATH_MAX} bytes"
        );
        reader.problem(field, node.at, message);
    }
    Some(path.to_owned())
}

fn methods(reader: &mut Reader, table: &Table<'_>) -> Option<Vec<HttpMethod>> {
    let node = table.get("methods")?;
    let field = table.path_of("methods");
    let mut methods = Vec::new();
    for item in reader.list(&field, node)? {
        let Some(word) = reader.text(&field, item) else { continue };
        match METHODS.iter().find(|(name, _)| *name == word) {
            Some((_, method)) if methods.contains(method) => {
                reader.problem(&*field, item.at, format!("`{field}` names {word} twice; remove one"));
            }
            Some((_, method)) => methods.push(*method),
            None => {
                let meant = METHODS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
                let advice = meant.map_or_else(
                    || "use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS".to_owned(),
                    |(name, _)| format!("write it as \"{name}\""),
                );
                reader.problem(&*field, item.at, format!("`{}` is not a method; {advice}", shorten(word)));
            }
        }
    }
    Some(methods)
}
