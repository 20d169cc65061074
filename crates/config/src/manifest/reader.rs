//! Reads tables and keeps every problem on the way, so that one run of `faas validate` tells all.

use std::fmt::Display;
use std::str::FromStr;

use faas_types::FieldRule;

use super::keys::EGRESS_KEYS;
use super::node::{Key, Node, Position, Value};
use super::problem::ManifestProblem;

/// Collects problems while a manifest is read.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) problems: Vec<ManifestProblem>,
}

/// A table of the manifest with the path that leads to it.
#[derive(Clone, Debug)]
pub(super) struct Table<'n> {
    path: String,
    rows: &'n [(Key, Node)],
    at: Option<Position>,
}

/// The candidate that `word` was probably meant to be.
#[must_use]
pub fn closest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

// === impl Table ===

impl<'n> Table<'n> {
    /// The path of one of its keys, as messages name it.
    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Every row, for tables with free keys.
    pub(super) fn rows(&self) -> &'n [(Key, Node)] {
        self.rows
    }

    pub(super) fn at(&self) -> Option<Position> {
        self.at
    }

    /// A key's value; `null` counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.rows
            .iter()
            .find_map(|(candidate, node)| (candidate.text == key).then_some(node))
            .filter(|node| !matches!(node.value, Value::Null))
    }
}

// === impl Reader ===

impl Reader {
    pub(super) fn problem(&mut self, field: impl Into<String>, at: Option<Position>, message: impl Into<String>) {
        self.broken(FieldRule::Invalid, field, at, message);
    }

    /// The problem of a key that has to be there.
    pub(super) fn missing(&mut self, field: impl Into<String>, at: Option<Position>, message: impl Into<String>) {
        self.broken(FieldRule::Required, field, at, message);
    }

    fn broken(&mut self, rule: FieldRule, field: impl Into<String>, at: Option<Position>, message: impl Into<String>) {
        self.problems.push(ManifestProblem { field: field.into(), at, rule, message: message.into() });
    }

    /// Takes `node` as a table.
    pub(super) fn table<'n>(&mut self, path: &str, node: &'n Node) -> Option<Table<'n>> {
        match &node.value {
            Value::Table(rows) => Some(Table { path: path.to_owned(), rows, at: node.at }),
            other if path.is_empty() => {
                let message =
                    format!("a manifest is a table of keys such as name and entrypoint, not {}", other.kind());
                self.problem("", node.at, message);
                None
            }
            other => self.mistyped(path, node, "a table", other),
        }
    }

    /// Takes `node` as a list.
    pub(super) fn list<'n>(&mut self, path: &str, node: &'n Node) -> Option<&'n [Node]> {
        match &node.value {
            Value::List(items) => Some(items),
            other => self.mistyped(path, node, "a list", other),
        }
    }

    /// Takes `node` as text.
    pub(super) fn text<'n>(&mut self, path: &str, node: &'n Node) -> Option<&'n str> {
        match &node.value {
            Value::Text(text) => Some(text),
            other => self.mistyped(path, node, "text in quotes", other),
        }
    }

    /// Takes a key's text in the form of `T`.
    pub(super) fn parsed<T>(&mut self, table: &Table<'_>, key: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let node = table.get(key)?;
        let path = table.path_of(key);
        let text = self.text(&path, node)?;
        self.keep(&path, node, text.parse())
    }

    /// Takes a key's text as one of a few words.
    pub(super) fn one_of<T: Copy>(&mut self, table: &Table<'_>, key: &str, words: &[(&str, T)]) -> Option<T> {
        let node = table.get(key)?;
        let path = table.path_of(key);
        let text = self.text(&path, node)?;
        let found = words.iter().find_map(|(word, meaning)| (*word == text).then_some(*meaning));
        if found.is_none() {
            let choice = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
            self.broken(FieldRule::OneOf, &*path, node.at, format!("`{path}` is {choice}, not \"{}\"", shorten(text)));
        }
        found
    }

    /// Takes a key's whole number within bounds.
    pub(super) fn count(&mut self, table: &Table<'_>, key: &str, least: u32, most: u32) -> Option<u32> {
        let node = table.get(key)?;
        let path = table.path_of(key);
        let number = match &node.value {
            Value::Int(number) => u32::try_from(*number).ok().filter(|n| (least..=most).contains(n)),
            Value::Float(_) => None,
            other => return self.mistyped(&path, node, "a whole number", other),
        };
        if number.is_none() {
            self.broken(
                FieldRule::Range,
                &*path,
                node.at,
                format!("`{path}` must be a whole number from {least} to {most}"),
            );
        }
        number
    }

    /// Takes a key as true or false.
    pub(super) fn switch(&mut self, table: &Table<'_>, key: &str) -> Option<bool> {
        let node = table.get(key)?;
        match &node.value {
            Value::Bool(is_on) => Some(*is_on),
            other => self.mistyped(&table.path_of(key), node, "true or false", other),
        }
    }

    /// Turns a failed check of a key into a problem.
    pub(super) fn keep<T, E: Display>(&mut self, path: &str, node: &Node, checked: Result<T, E>) -> Option<T> {
        let told = |error: E| match &node.value {
            // Checks quote what they refuse, which may be anything.
            Value::Text(text) => error.to_string().replace(text.as_str(), &shorten(text)),
            _ => error.to_string(),
        };
        checked.map_err(|error| self.problem(path, node.at, format!("`{path}`: {}", told(error)))).ok()
    }

    /// Refuses keys that the manifest does not have.
    pub(super) fn refuse_unknown(&mut self, table: &Table<'_>, known: &[&str]) {
        for (key, _) in table.rows {
            if known.contains(&key.text.as_str()) {
                continue;
            }
            if table.path.is_empty() && EGRESS_KEYS.contains(&key.text.as_str()) {
                let message = format!("unknown key `{}`; put it under [egress]", key.text);
                self.broken(FieldRule::Unknown, &*key.text, key.at, message);
                continue;
            }
            let meant = alias(&key.text).filter(|meant| known.contains(meant));
            let meant = meant.or_else(|| closest(&key.text, known.iter().copied()));
            let advice = meant.map_or_else(
                || format!("known keys are {}", known.join(", ")),
                |meant| format!("did you mean `{}`?", table.path_of(meant)),
            );
            let path = table.path_of(&shorten(&key.text));
            self.broken(FieldRule::Unknown, &*path, key.at, format!("unknown key `{path}`; {advice}"));
        }
    }

    fn mistyped<T>(&mut self, path: &str, node: &Node, wanted: &str, found: &Value) -> Option<T> {
        self.broken(FieldRule::Type, path, node.at, format!("`{path}` must be {wanted}, not {}", found.kind()));
        None
    }
}

/// Names that other platforms use for the same thing.
fn alias(key: &str) -> Option<&'static str> {
    Some(match key {
        "env" | "environment" | "variables" | "env_vars" => "vars",
        "handler" | "main" => "entrypoint",
        "memory_mb" | "memory_limit" | "memorysize" | "memory_size" | "ram" => "memory",
        "timeout_s" | "timeout_seconds" => "timeout",
        "vcpu" | "cpus" => "cpu",
        "trigger" => "triggers",
        "private" => "networks",
        "language" => "runtime",
        "min_instances" => "min",
        "max_instances" => "max",
        _ => return None,
    })
}

/// What came from outside, short enough for a message.
pub(super) fn shorten(text: &str) -> String {
    const MOST: usize = 40;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(MOST).collect();
    short.push('…');
    short
}
