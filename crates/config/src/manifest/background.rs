//! `[background]`: runs that are accepted for later.

use std::time::Duration;

use faas_types::{Background, FunctionTarget, InvocationMode, RetryClass, RetryPolicy, RunOption, Span, limits};

use super::node::{Node, Value};
use super::reader::{Reader, Table, shorten};

/// Keys of `[background]`.
pub(super) const BACKGROUND_KEYS: &[&str] =
    &["mode", "backlog_max", "keyless_options", "retry", "on_success", "on_failure"];
/// Keys of `[background.retry]`.
pub(super) const RETRY_KEYS: &[&str] = &["max_attempts", "backoff", "backoff_max", "max_age", "on"];

/// Reads `[background]`; `None` when it is absent or no table.
pub(super) fn background(reader: &mut Reader, root: &Table<'_>) -> Option<Background> {
    let table = reader.table("background", root.get("background")?)?;
    reader.refuse_unknown(&table, BACKGROUND_KEYS);
    let words = [("both", InvocationMode::Both), ("sync", InvocationMode::Sync), ("async", InvocationMode::Async)];
    let defaults = Background::default();
    Some(Background {
        mode: reader.one_of(&table, "mode", &words).unwrap_or(defaults.mode),
        backlog_max: reader.count(&table, "backlog_max", 1, limits::BACKLOG_MAX).unwrap_or(defaults.backlog_max),
        keyless_options: table.get("keyless_options").map(|node| options(reader, &table, node)).unwrap_or_default(),
        retry: table.get("retry").and_then(|node| retry(reader, "background.retry", node)).unwrap_or(defaults.retry),
        on_success: destination(reader, &table, "on_success"),
        on_failure: destination(reader, &table, "on_failure"),
    })
}

/// A function by one of its aliases.
fn destination(reader: &mut Reader, table: &Table<'_>, key: &str) -> Option<FunctionTarget> {
    let node = table.get(key)?;
    let path = table.path_of(key);
    let text = reader.text(&path, node)?;
    reader.keep(&path, node, text.parse::<FunctionTarget>())
}

/// Reads a table of retries that stands at `path`.
pub(super) fn retry(reader: &mut Reader, path: &str, node: &Node) -> Option<RetryPolicy> {
    let table = reader.table(path, node)?;
    reader.refuse_unknown(&table, RETRY_KEYS);
    let defaults = RetryPolicy::default();
    let policy = RetryPolicy {
        max_attempts: reader.count(&table, "max_attempts", 1, limits::ATTEMPTS_MAX).unwrap_or(defaults.max_attempts),
        backoff: span(reader, &table, "backoff").unwrap_or(defaults.backoff),
        backoff_max: span(reader, &table, "backoff_max").unwrap_or(defaults.backoff_max),
        max_age: span(reader, &table, "max_age").unwrap_or(defaults.max_age),
        on: table.get("on").map_or(defaults.on, |node| classes(reader, &table, node)),
    };
    Some(policy)
}

/// Text such as "30s", or a number of seconds; up to seven days.
fn span(reader: &mut Reader, table: &Table<'_>, key: &str) -> Option<Span> {
    let node = table.get(key)?;
    let path = table.path_of(key);
    let span = match &node.value {
        Value::Int(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
        Value::Float(_) => None,
        _ => {
            let text = reader.text(&path, node)?;
            Some(reader.keep(&path, node, text.parse::<Span>())?.get())
        }
    };
    let span = span.filter(|span| *span <= limits::DELAY_MAX);
    if span.is_none() {
        reader.problem(&*path, node.at, format!("`{path}` must be at most seven days, such as \"30s\" or \"6h\""));
    }
    span.map(|span| Span::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
}

fn classes(reader: &mut Reader, table: &Table<'_>, node: &Node) -> Vec<RetryClass> {
    let what = "no failure; use \"error\", \"timeout\", \"memory\" or \"start\"";
    words(reader, table, ("on", node), (&RetryClass::ALL, RetryClass::as_str), what)
}

fn options(reader: &mut Reader, table: &Table<'_>, node: &Node) -> Vec<RunOption> {
    let what = "not an option of a run; use \"delay\", \"max_age\", \"priority\", \"ordering_key\" or \"callback\"";
    words(reader, table, ("keyless_options", node), (&RunOption::ALL, RunOption::as_str), what)
}

/// A list of words, each once.
fn words<T: Copy + PartialEq>(
    reader: &mut Reader,
    table: &Table<'_>,
    (key, node): (&str, &Node),
    (all, name): (&[T], fn(T) -> &'static str),
    otherwise: &str,
) -> Vec<T> {
    let path = table.path_of(key);
    let mut found = Vec::new();
    for item in reader.list(&path, node).into_iter().flatten() {
        let Some(word) = reader.text(&path, item) else { continue };
        match all.iter().copied().find(|one| name(*one) == word) {
            Some(one) if found.contains(&one) => {
                reader.problem(&*path, item.at, format!("`{path}` names {word} twice; remove one"));
            }
            Some(one) => found.push(one),
            None => reader.problem(&*path, item.at, format!("`{}` is {otherwise}", shorten(word))),
        }
    }
    found
}
