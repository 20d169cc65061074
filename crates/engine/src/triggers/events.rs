//! Published events: one run for each trigger that wants one, all of a request in one commit.

use std::sync::Arc;

use faas_runs::lifecycle::stopping;
use faas_types::{Code, Fault, FunctionName, ProjectId, RunId, TriggerName, TriggerSettings};

use super::accept::{Cause, NewRun};
use super::event::PublishedEvent;
use super::table::TriggerEntry;
use crate::core::Core;
use crate::engine::Engine;

/// Runs that one request may make: they are one commit.
const RUNS_MAX: usize = 1_000;

/// A run that an event made.
#[derive(Clone, Debug)]
pub struct Fired {
    /// Which of the request's events, from 0.
    pub event: usize,
    /// The function.
    pub function: FunctionName,
    /// Its trigger.
    pub trigger: TriggerName,
    /// The run.
    pub run: RunId,
    /// Whether the same event had made it before.
    pub repeated: bool,
}

// === impl Engine ===

impl Engine {
    /// Makes a run for each trigger that wants one of the events: all of them or none.
    ///
    /// # Errors
    /// `FN_011` when there would be too many at once; whatever stops an accepted run.
    pub async fn publish_events(&self, project: ProjectId, events: &[PublishedEvent]) -> Result<Vec<Fired>, Fault> {
        if self.is_ready() { self.core.publish(project, events).await } else { Err(stopping()) }
    }
}

// === impl Core ===

impl Core {
    /// Makes a run for each trigger that wants one of the events, whoever publishes them.
    pub(crate) async fn publish(
        self: &Arc<Self>,
        project: ProjectId,
        events: &[PublishedEvent],
    ) -> Result<Vec<Fired>, Fault> {
        let mut runs = Vec::new();
        let mut fired = Vec::new();
        let listening = self.listening(project);
        for (index, event) in events.iter().enumerate() {
            for (entry, function) in listening.iter().filter(|(entry, _)| wants(entry, event)) {
                if runs.len() == RUNS_MAX {
                    return Err(Fault::new(
                        Code::PayloadTooLarge,
                        format!("the events make more than {RUNS_MAX} runs"),
                    )
                    .with_hint("publish them in smaller batches"));
                }
                runs.push(run(entry, event, self.clock.now()));
                fired.push((index, function.clone(), Arc::clone(entry)));
            }
        }
        let made = self.accept_triggers(runs).await?;
        let now = self.clock.now();
        let told = fired.into_iter().zip(made).map(|((event, function, entry), made)| {
            let record = &entry.record;
            if !made.repeated {
                self.trigger_states.note(project, record.id, |state| state.note_run(made.run, now));
            }
            Fired { event, function, trigger: record.name().clone(), run: made.run, repeated: made.repeated }
        });
        Ok(told.collect())
    }

    /// The event triggers that are switched on, of functions that have their alias.
    fn listening(&self, project: ProjectId) -> Vec<(Arc<TriggerEntry>, FunctionName)> {
        let entries = self.triggers.listening(project).into_iter().filter(|entry| entry.record.enabled);
        let with_function = entries.filter_map(|entry| {
            let function = self.catalog.by_id(project, entry.record.function)?;
            entry.has_alias(&function).then(|| (entry, function.record.name.clone()))
        });
        with_function.collect()
    }
}

fn wants(entry: &TriggerEntry, event: &PublishedEvent) -> bool {
    match &entry.record.settings {
        TriggerSettings::Event(trigger) => trigger.wants(&event.kind, &event.source, event.subject.as_deref()),
        _ => false,
    }
}

fn run(entry: &Arc<TriggerEntry>, event: &PublishedEvent, now: faas_types::Timestamp) -> NewRun {
    let identity = format!("{}\n{}", event.source, event.id);
    NewRun {
        cause: Some(Cause { identity, until: now }),
        hops: event.hops,
        ..NewRun::of(entry, event.headers.clone(), event.body.clone())
    }
}
