//! How much of what a manifest offers the cases have used: its triggers, each once.

use std::fmt;

use faas_types::TriggerSettings;
use serde::Serialize;

use super::runner::{Outcome, Way};

/// The triggers and whether a case went through them.
#[derive(Debug, Serialize)]
pub(super) struct Coverage {
    covered: usize,
    total: usize,
    triggers: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    covered: bool,
}

// === impl Coverage ===

impl Coverage {
    pub(super) fn of(triggers: &[TriggerSettings], outcomes: &[Outcome]) -> Self {
        let used = |trigger: &TriggerSettings| outcomes.iter().any(|outcome| is_through(&outcome.way, trigger));
        let triggers: Vec<_> =
            triggers.iter().map(|trigger| Row { name: name(trigger), covered: used(trigger) }).collect();
        Self { covered: triggers.iter().filter(|row| row.covered).count(), total: triggers.len(), triggers }
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} triggers covered", self.covered, self.total)?;
        let missing: Vec<_> = self.triggers.iter().filter(|row| !row.covered).map(|row| row.name.as_str()).collect();
        if missing.is_empty() { Ok(()) } else { write!(f, ", not {}", missing.join(", ")) }
    }
}

/// The invoke API stands for the function's URL: it calls the same code in the same way.
fn is_through(way: &Way, trigger: &TriggerSettings) -> bool {
    match (way, trigger) {
        (Way::Invoke, TriggerSettings::Http { path, .. }) => path == "/",
        (Way::Path(path), TriggerSettings::Http { path: at, .. }) => {
            let rest = path.strip_prefix(at.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        (Way::Trigger(name), trigger) => trigger.name().is_some_and(|own| own.as_str() == name),
        _ => false,
    }
}

fn name(trigger: &TriggerSettings) -> String {
    match trigger {
        TriggerSettings::Http { path, .. } => format!("http {path}"),
        named => named.name().map(ToString::to_string).unwrap_or_default(),
    }
}
