//! Keys that triggers of several types have.

use faas_types::{TriggerKind, TriggerName};

use super::node::{Node, Value};
use super::reader::{Reader, Table};

const PATH_MAX: usize = 200;

/// How many triggers of each type came so far, for their default names.
#[derive(Debug, Default)]
pub(super) struct Ordinals(Vec<TriggerKind>);

// === impl Ordinals ===

impl Ordinals {
    /// The name that a trigger is given, or the default one: its type and how many of that type there are by then.
    pub(super) fn name(&mut self, reader: &mut Reader, table: &Table<'_>, kind: TriggerKind) -> TriggerName {
        self.0.push(kind);
        let count = self.0.iter().filter(|other| **other == kind).count();
        let default = format!("{}-{count}", kind.as_str());
        reader.parsed(table, "name").unwrap_or_else(|| default.parse().expect("a type and a number are a name"))
    }
}

/// The key `path`: where an http trigger's requests are, or what other triggers call the function with.
pub(super) fn path(reader: &mut Reader, table: &Table<'_>) -> Option<String> {
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

/// The text of a key that must be there, or the problem that it is not.
pub(super) fn required<'n>(reader: &mut Reader, table: &Table<'n>, key: &str, example: &str) -> Option<&'n str> {
    let field = table.path_of(key);
    match table.get(key) {
        Some(node) => reader.text(&field, node),
        None => {
            reader.missing(&*field, table.at(), format!("`{field}` is missing; add {key} = {example}"));
            None
        }
    }
}

/// One text or a list of texts.
pub(super) fn texts<'n>(reader: &mut Reader, table: &Table<'n>, key: &str) -> Vec<(&'n str, &'n Node)> {
    let Some(node) = table.get(key) else { return Vec::new() };
    let field = table.path_of(key);
    let items = match &node.value {
        Value::Text(_) => std::slice::from_ref(node),
        _ => reader.list(&field, node).unwrap_or_default(),
    };
    items.iter().filter_map(|item| Some((reader.text(&field, item)?, item))).collect()
}
