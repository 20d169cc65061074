//! HTTP triggers: requests below the function's URL.

use faas_types::{HttpMethod, TriggerSettings};

use super::node::Node;
use super::reader::{Reader, Table, shorten};
use super::trigger_fields::path;

/// Keys of an HTTP trigger.
pub(super) const HTTP_KEYS: &[&str] = &["type", "path", "methods"];
const METHODS: [(&str, HttpMethod); 7] = [
    ("GET", HttpMethod::Get),
    ("HEAD", HttpMethod::Head),
    ("POST", HttpMethod::Post),
    ("PUT", HttpMethod::Put),
    ("PATCH", HttpMethod::Patch),
    ("DELETE", HttpMethod::Delete),
    ("OPTIONS", HttpMethod::Options),
];

pub(super) fn http(reader: &mut Reader, table: &Table<'_>) -> TriggerSettings {
    reader.refuse_unknown(table, HTTP_KEYS);
    let path = path(reader, table).unwrap_or_else(|| "/".to_owned());
    let methods = methods(reader, table).unwrap_or_default();
    TriggerSettings::Http { path, methods }
}

fn methods(reader: &mut Reader, table: &Table<'_>) -> Option<Vec<HttpMethod>> {
    methods_of(reader, &table.path_of("methods"), table.get("methods")?)
}

/// A list of methods, each once.
pub(super) fn methods_of(reader: &mut Reader, field: &str, node: &Node) -> Option<Vec<HttpMethod>> {
    let mut methods = Vec::new();
    for item in reader.list(field, node)? {
        let Some(word) = reader.text(field, item) else { continue };
        match METHODS.iter().find(|(name, _)| *name == word) {
            Some((_, method)) if methods.contains(method) => {
                reader.problem(field, item.at, format!("`{field}` names {word} twice; remove one"));
            }
            Some((_, method)) => methods.push(*method),
            None => {
                let meant = METHODS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
                let advice = meant.map_or_else(
                    || "use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS".to_owned(),
                    |(name, _)| format!("write it as \"{name}\""),
                );
                reader.problem(field, item.at, format!("`{}` is not a method; {advice}", shorten(word)));
            }
        }
    }
    Some(methods)
}
