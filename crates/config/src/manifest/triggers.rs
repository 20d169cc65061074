//! Triggers: what creates runs of a function.

use faas_types::{TriggerSettings, limits};

use super::node::Node;
use super::reader::{Reader, Table, closest, shorten};
use super::trigger_fields::Ordinals;
use super::{cron, event, http, queue, webhook};

/// Trigger types of later releases, which deserve a better answer than "unknown".
const LATER: &[&str] = &["database", "storage", "auth"];
const TYPES: [&str; 5] = ["http", "cron", "webhook", "event", "queue"];

/// Reads `[[triggers]]`; `None` when it is not a list.
pub(super) fn triggers(reader: &mut Reader, node: &Node) -> Option<Vec<TriggerSettings>> {
    let items = reader.list("triggers", node)?;
    if items.len() > limits::TRIGGERS_MAX {
        let message = format!("`triggers` has more than {} entries; remove some", limits::TRIGGERS_MAX);
        reader.problem("triggers", node.at, message);
        return None;
    }
    let mut ordinals = Ordinals::default();
    let mut found: Vec<TriggerSettings> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let Some(table) = reader.table(&format!("triggers[{index}]"), item) else { continue };
        let Some(trigger) = trigger(reader, &table, &mut ordinals) else { continue };
        refuse_twin(reader, &table, item, &trigger, &found);
        found.push(trigger);
    }
    Some(found)
}

/// Reads one trigger that stands alone, outside of a list. Its default name ends in `1`.
pub(super) fn lone(reader: &mut Reader, node: &Node) -> Option<TriggerSettings> {
    let table = reader.table("trigger", node)?;
    trigger(reader, &table, &mut Ordinals::default())
}

fn refuse_twin(
    reader: &mut Reader,
    table: &Table<'_>,
    item: &Node,
    trigger: &TriggerSettings,
    before: &[TriggerSettings],
) {
    match trigger {
        TriggerSettings::Http { path, .. } => {
            if before.iter().any(|other| matches!(other, TriggerSettings::Http { path: taken, .. } if taken == path)) {
                let message = format!("two http triggers take path {path}; merge their methods");
                reader.problem(table.path_of("path"), item.at, message);
            }
        }
        named => {
            if let Some(name) = named.name()
                && before.iter().any(|other| other.name() == Some(name))
            {
                let message = format!("two triggers are named `{name}`; give each a `name` of its own");
                reader.problem(table.path_of("name"), table.get("name").map_or(item.at, |node| node.at), message);
            }
        }
    }
}

fn trigger(reader: &mut Reader, table: &Table<'_>, ordinals: &mut Ordinals) -> Option<TriggerSettings> {
    let field = table.path_of("type");
    let Some(node) = table.get("type") else {
        reader.missing(&*field, table.at(), format!("`{field}` is missing; add type = \"http\""));
        return None;
    };
    match reader.text(&field, node)? {
        "http" => Some(http::http(reader, table)),
        "cron" => cron::cron(reader, table, ordinals).map(|cron| TriggerSettings::Cron(Box::new(cron))),
        "webhook" => Some(TriggerSettings::Webhook(webhook::webhook(reader, table, ordinals))),
        "event" => event::event(reader, table, ordinals).map(TriggerSettings::Event),
        "queue" => queue::queue(reader, table, ordinals).map(TriggerSettings::Queue),
        later if LATER.contains(&later) => {
            let choice = TYPES.join(", ");
            let message = format!("trigger type `{later}` is not available in this release; there are {choice}");
            reader.problem(field, node.at, message);
            None
        }
        other => {
            let meant = if other == "schedule" { Some("cron") } else { closest(other, TYPES) };
            let advice = meant.map_or_else(
                || format!("use {}", TYPES.map(|name| format!("\"{name}\"")).join(" or ")),
                |meant| format!("did you mean \"{meant}\"?"),
            );
            reader.problem(field, node.at, format!("unknown trigger type `{}`; {advice}", shorten(other)));
            None
        }
    }
}
