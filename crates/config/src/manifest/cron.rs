//! Cron triggers: the times of a schedule.

use faas_types::{CronSchedule, CronTrigger, InvalidCron, MissedTicks, Overlap, Span, TriggerKind, limits};

use super::node::Value;
use super::reader::{Reader, Table};
use super::trigger_fields::{Ordinals, path, required};

/// Keys of a cron trigger.
pub(super) const CRON_KEYS: &[&str] =
    &["type", "name", "schedule", "timezone", "missed", "overlap", "jitter", "path", "input"];

/// Reads a cron trigger; `None` when it has no schedule that can be read.
pub(super) fn cron(reader: &mut Reader, table: &Table<'_>, ordinals: &mut Ordinals) -> Option<CronTrigger> {
    reader.refuse_unknown(table, CRON_KEYS);
    let name = ordinals.name(reader, table, TriggerKind::Cron);
    let overlap = [("allow", Overlap::Allow), ("skip", Overlap::Skip), ("queue", Overlap::Queue)];
    let overlap = reader.one_of(table, "overlap", &overlap).unwrap_or_default();
    let (missed, jitter) = (missed(reader, table).unwrap_or_default(), jitter(reader, table).unwrap_or_default());
    let (path, input) = (path(reader, table).unwrap_or_else(|| "/".to_owned()), input(reader, table));
    let schedule = schedule(reader, table)?;
    Some(CronTrigger { name, schedule, missed, overlap, jitter, path, input })
}

fn schedule(reader: &mut Reader, table: &Table<'_>) -> Option<CronSchedule> {
    let expression = required(reader, table, "schedule", "\"0 9 * * 1-5\"")?;
    let zone = match table.get("timezone") {
        Some(node) => reader.text(&table.path_of("timezone"), node)?,
        None => "UTC",
    };
    let error = match CronSchedule::new(expression, zone) {
        Ok(schedule) => return Some(schedule),
        Err(error) => error,
    };
    let key = if matches!(error, InvalidCron::Zone(_)) { "timezone" } else { "schedule" };
    let field = table.path_of(key);
    let at = table.get(key).and_then(|node| node.at);
    reader.problem(&*field, at, format!("`{field}`: {error}"));
    None
}

fn missed(reader: &mut Reader, table: &Table<'_>) -> Option<MissedTicks> {
    let node = table.get("missed")?;
    let field = table.path_of("missed");
    let most = limits::CRON_CATCH_UP_MAX;
    let meant = match &node.value {
        Value::Int(count) => {
            u32::try_from(*count).ok().filter(|count| (1..=most).contains(count)).map(MissedTicks::All)
        }
        Value::Text(text) => match text.as_str() {
            "skip" => Some(MissedTicks::Skip),
            "once" => Some(MissedTicks::Once),
            "all" => Some(MissedTicks::All(most)),
            _ => None,
        },
        _ => None,
    };
    if meant.is_none() {
        let message = format!(
            "`{field}` is \"skip\", \"once\", \"all\", or how many of the latest ticks to make up for, 1 to {most}"
        );
        reader.problem(&*field, node.at, message);
    }
    meant
}

fn jitter(reader: &mut Reader, table: &Table<'_>) -> Option<Span> {
    let node = table.get("jitter")?;
    let field = table.path_of("jitter");
    let span = match &node.value {
        Value::Int(seconds) => u64::try_from(*seconds).map(Span::from_secs).unwrap_or(Span::from_millis(u64::MAX)),
        _ => {
            let text = reader.text(&field, node)?;
            reader.keep(&field, node, text.parse())?
        }
    };
    if span.get() > limits::CRON_JITTER_MAX {
        let most = Span::from_secs(limits::CRON_JITTER_MAX.as_secs());
        reader.problem(&*field, node.at, format!("`{field}` must be at most {most}"));
    }
    Some(span)
}

fn input(reader: &mut Reader, table: &Table<'_>) -> Option<String> {
    let node = table.get("input")?;
    let field = table.path_of("input");
    let text = reader.text(&field, node)?;
    if text.len() > limits::CRON_INPUT_MAX {
        let most = limits::CRON_INPUT_MAX >> 10;
        reader.problem(&*field, node.at, format!("`{field}` is larger than {most} KB; keep the data in a file"));
    } else if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        let message = format!("`{field}` is not JSON: {error}; write it as text, such as '{{\"full\": true}}'");
        reader.problem(&*field, node.at, message);
    }
    Some(text.to_owned())
}
