//! Queue triggers: messages of a topic, in batches.

use faas_types::{QueueTrigger, Span, TopicName, TriggerKind, limits};

use super::background::retry;
use super::node::Value;
use super::reader::{Reader, Table};
use super::trigger_fields::{Ordinals, path, required};

/// Keys of a queue trigger.
pub(super) const QUEUE_KEYS: &[&str] = &["type", "name", "topic", "batch_size", "batch_window", "retry", "path"];

/// Reads a queue trigger; `None` when it names no topic.
pub(super) fn queue(reader: &mut Reader, table: &Table<'_>, ordinals: &mut Ordinals) -> Option<QueueTrigger> {
    reader.refuse_unknown(table, QUEUE_KEYS);
    let name = ordinals.name(reader, table, TriggerKind::Queue);
    let most = u32::from(limits::BATCH_MAX);
    let batch_size = reader.count(table, "batch_size", 1, most).and_then(|count| u16::try_from(count).ok());
    let batch_window = window(reader, table).unwrap_or_default();
    let retry = table.get("retry").and_then(|node| retry(reader, &table.path_of("retry"), node));
    let path = path(reader, table).unwrap_or_else(|| "/".to_owned());
    required(reader, table, "topic", "\"orders\"")?;
    let topic: TopicName = reader.parsed(table, "topic")?;
    let batch_size = batch_size.unwrap_or(limits::BATCH_DEFAULT);
    Some(QueueTrigger { name, topic, batch_size, batch_window, retry, path })
}

fn window(reader: &mut Reader, table: &Table<'_>) -> Option<Span> {
    let node = table.get("batch_window")?;
    let field = table.path_of("batch_window");
    let span = match &node.value {
        Value::Int(seconds) => u64::try_from(*seconds).map(Span::from_secs).unwrap_or(Span::from_millis(u64::MAX)),
        _ => {
            let text = reader.text(&field, node)?;
            reader.keep(&field, node, text.parse())?
        }
    };
    if span.get() > limits::BATCH_WINDOW_MAX {
        reader.problem(&*field, node.at, format!("`{field}` must be at most 5m"));
    }
    Some(span)
}
