//! Published events: one run for each trigger that an event matches, all runs of a request in one commit.

use std::sync::Arc;

use faas_runs::payload::Payload;
use faas_types::{Code, Fault, FunctionName, ProjectId, RunId, Timestamp, TriggerName, TriggerSettings};

use super::accept::{Cause, NewRun};
use super::event::PublishedEvent;
use super::service::Triggers;
use super::table::TriggerEntry;

/// The most runs of one request, which are one commit.
const RUNS_MAX: usize = 1_000;

/// A run that an event made.
#[derive(Clone, Debug)]
pub struct Fired {
    /// Index of the event in the request, from 0.
    pub event: usize,
    /// The function that runs.
    pub function: FunctionName,
    /// The trigger that matched.
    pub trigger: TriggerName,
    /// The run's id.
    pub run: RunId,
    /// Whether an earlier publication of the same event had made it.
    pub repeated: bool,
}

// === impl Triggers ===

impl Triggers {
    /// Makes a run for each trigger that one of the events matches: all of them or none.
    ///
    /// # Errors
    /// `FN_011` when there would be too many runs; also whatever refuses a background run.
    pub async fn publish(self: &Arc<Self>, project: ProjectId, events: &[PublishedEvent]) -> Result<Vec<Fired>, Fault> {
        self.check_ready()?;
        self.fire(project, events).await
    }

    /// The same, also while the server drains.
    pub(super) async fn fire(
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
        let made = self.accept_all(runs).await?;
        let now = self.clock.now();
        let fired = fired.into_iter().zip(made).map(|((event, function, entry), made)| {
            let record = &entry.record;
            if !made.repeated {
                self.states.note(project, record.id, |state| state.note_run(made.run, now));
            }
            Fired { event, function, trigger: record.name().clone(), run: made.run, repeated: made.repeated }
        });
        Ok(fired.collect())
    }

    /// The event triggers that are switched on and whose function has their alias.
    fn listening(&self, project: ProjectId) -> Vec<(Arc<TriggerEntry>, FunctionName)> {
        let entries = self.table.listening(project).into_iter().filter(|entry| entry.record.enabled);
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

fn run(entry: &Arc<TriggerEntry>, event: &PublishedEvent, now: Timestamp) -> NewRun {
    let identity = format!("{}\n{}", event.source, event.id);
    let (trigger, path) = entry.record.target();
    NewRun {
        cause: Some(Cause { identity, until: now }),
        hops: event.hops,
        ..NewRun::of(entry, Payload::Event { trigger, path, attributes: event.headers.clone() }, event.body.clone())
    }
}
