//! Event triggers: published events, by type, source and subject.

use faas_types::{EventFilter, EventTrigger, TriggerKind, limits};

use super::reader::{Reader, Table};
use super::trigger_fields::{Ordinals, path, texts};

/// Keys of an event trigger.
pub(super) const EVENT_KEYS: &[&str] = &["type", "name", "types", "sources", "subjects", "path"];

/// Reads an event trigger; `None` when it names no types.
pub(super) fn event(reader: &mut Reader, table: &Table<'_>, ordinals: &mut Ordinals) -> Option<EventTrigger> {
    reader.refuse_unknown(table, EVENT_KEYS);
    let name = ordinals.name(reader, table, TriggerKind::Event);
    let mut filters = |key: &str| filters(reader, table, key);
    let (types, sources, subjects) = (filters("types"), filters("sources"), filters("subjects"));
    let path = path(reader, table).unwrap_or_else(|| "/".to_owned());
    if table.get("types").is_none() {
        let field = table.path_of("types");
        let message = format!("`{field}` is missing; add types = [\"com.example.*\"], or [\"*\"] for every type");
        reader.missing(field, table.at(), message);
        return None;
    }
    Some(EventTrigger { name, types, sources, subjects, path })
}

fn filters(reader: &mut Reader, table: &Table<'_>, key: &str) -> Vec<EventFilter> {
    let field = table.path_of(key);
    let written = texts(reader, table, key);
    if let Some(node) = table.get(key) {
        let most = limits::EVENT_FILTERS_MAX;
        if written.len() > most {
            reader.problem(&*field, node.at, format!("`{field}` has more than {most} entries; use a trailing *"));
        } else if matches!(&node.value, super::node::Value::List(items) if items.is_empty()) {
            reader.problem(&*field, node.at, format!("`{field}` is empty; name what is wanted, or \"*\" for all"));
        }
    }
    written.iter().filter_map(|(text, node)| reader.keep(&field, node, text.parse())).collect()
}
