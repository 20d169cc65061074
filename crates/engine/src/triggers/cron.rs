//! The task that fires schedules.
//!
//! A tick's run is accepted first, under a claim of its own, and the mark that decides the tick is stored behind it. What
//! a crash leaves between the two is accepted again at the next start, and the claim then names the run that there is.
//! The task sleeps no longer than [`EngineSettings::look_every`](crate::EngineSettings::look_every) whatever comes next,
//! so that it sees when the clock was moved.

use std::sync::Arc;
use std::time::Duration;

use faas_types::{CronTrigger, Fault, Overlap, RunId, Timestamp, TriggerId, TriggerSettings};
use futures_util::StreamExt;

use super::accept::{Cause, NewRun};
use super::record::TriggerState;
use super::table::TriggerEntry;
use super::timer_queue::TimerQueue;
use crate::engine::Engine;

/// When a tick is tried again whose run could not be accepted.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// Schedules that are fired at once; their commits share an fsync.
const AT_ONCE: usize = 64;
/// How often counters that changed are stored.
const FLUSH_EVERY: Duration = Duration::from_secs(5);

/// Fires schedules until the engine stops.
pub(crate) async fn run(engine: Engine, look_every: Duration) {
    let core = Arc::clone(&engine.core);
    let mut timer_queue = TimerQueue::default();
    let mut flushed = tokio::time::Instant::now();
    while !core.lifecycle.is_stopping() {
        for id in core.triggers.take_changed() {
            timer_queue.set(id, engine.next_look(id));
        }
        let due = timer_queue.take_due(core.clock.now());
        let looks = futures_util::stream::iter(due).map(|id| {
            let engine = engine.clone();
            async move { (id, engine.look(id).await) }
        });
        let mut looks = looks.buffer_unordered(AT_ONCE);
        while let Some((id, next)) = looks.next().await {
            timer_queue.set(id, next);
        }
        drop(looks);
        if flushed.elapsed() >= FLUSH_EVERY {
            flushed = tokio::time::Instant::now();
            if let Err(fault) = core.trigger_states.flush().await {
                tracing::warn!(error = %fault, "counters of triggers are not stored");
            }
        }
        let wait = timer_queue.next().map_or(look_every, |next| next.since(core.clock.now()).min(look_every));
        tokio::select! {
            () = core.lifecycle.stopped() => {}
            () = core.triggers.changed() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    if let Err(fault) = core.trigger_states.flush().await {
        tracing::warn!(error = %fault, "counters of triggers are not stored");
    }
}

/// What one look at a schedule comes to.
struct Look {
    decided: Timestamp,
    skipped: u64,
    runs: Vec<RunId>,
    failure: Option<Fault>,
}

// === impl Look ===

impl Look {
    /// Whether a run could not be accepted now but may be a little later.
    fn is_unfinished(&self) -> bool {
        self.failure.as_ref().is_some_and(Fault::is_retryable)
    }
}

// === impl Engine ===

impl Engine {
    /// When a trigger has to be looked at; `None` when it has no schedule or is switched off.
    fn next_look(&self, id: TriggerId) -> Option<Timestamp> {
        let entry = self.core.triggers.by_id(id)?;
        scheduled(&entry)?.schedule.after(self.decided(&entry))
    }

    /// Every tick up to here is decided.
    fn decided(&self, entry: &TriggerEntry) -> Timestamp {
        self.core.trigger_states.get(entry.record.id).decided.max(entry.record.active_since)
    }

    /// Decides about the ticks that are due and says when to look again.
    async fn look(&self, id: TriggerId) -> Option<Timestamp> {
        let entry = self.core.triggers.by_id(id)?;
        let cron = scheduled(&entry)?;
        let (before, now) = (self.decided(&entry), self.core.clock.now());
        let due = cron.schedule.due(cron.missed, before, now);
        let mut look = Look { decided: before, skipped: due.skipped as u64, runs: Vec::new(), failure: None };
        self.fire(&entry, cron, &due.ticks, &mut look).await;
        let again = look.is_unfinished();
        if again {
            look.skipped = 0;
        } else {
            look.decided = due.decided;
        }
        if let Some(fault) = &look.failure {
            tracing::warn!(trigger_id = %id, error = %fault, "a schedule's run was not accepted");
        }
        match self.keep(&entry, look, now).await {
            Ok(()) if !again => due.next,
            Ok(()) => Some(now.plus(TRY_AGAIN)),
            Err(fault) => {
                tracing::warn!(trigger_id = %id, error = %fault, "a schedule's mark is not stored; it is tried again");
                Some(now.plus(TRY_AGAIN))
            }
        }
    }

    /// Makes the runs of ticks, up to the first that cannot be accepted now.
    async fn fire(&self, entry: &Arc<TriggerEntry>, cron: &CronTrigger, ticks: &[Timestamp], look: &mut Look) {
        let mut last = self.core.trigger_states.get(entry.record.id).last_run;
        for tick in ticks {
            if cron.overlap == Overlap::Skip && self.is_under_way(entry, last).await {
                look.skipped += 1;
            } else {
                match self.accept_trigger(tick_run(entry, cron, *tick)).await {
                    Ok(made) => {
                        last = Some(made.run);
                        look.runs.push(made.run);
                    }
                    Err(fault) => look.failure = Some(fault),
                }
                if look.is_unfinished() {
                    return;
                }
            }
            look.decided = *tick;
        }
    }

    /// Stores what a look came to, unless it came to nothing.
    async fn keep(&self, entry: &TriggerEntry, look: Look, now: Timestamp) -> Result<(), Fault> {
        let Look { decided, skipped, runs, failure } = look;
        if runs.is_empty() && skipped == 0 && failure.is_none() {
            return Ok(());
        }
        let change = |state: &mut TriggerState| {
            state.decided = state.decided.max(decided);
            state.skipped += skipped;
            runs.iter().for_each(|run| state.note_run(*run, now));
            if let Some(fault) = &failure {
                state.note_refusal(&fault.message, now);
            }
        };
        self.core.trigger_states.save(entry.record.project, entry.record.id, change).await
    }

    /// Whether a run of this trigger has not ended.
    async fn is_under_way(&self, entry: &TriggerEntry, last: Option<RunId>) -> bool {
        match last {
            Some(run) => self.history().run(entry.record.project, run).await.is_ok_and(|run| !run.state.is_terminal()),
            None => false,
        }
    }

    /// The next times that a trigger fires, `count` at most; none for one that has no schedule or is switched off.
    #[must_use]
    pub fn next_fires(&self, entry: &TriggerEntry, count: usize) -> Vec<Timestamp> {
        let Some(cron) = scheduled(entry) else { return Vec::new() };
        let from = self.decided(entry).max(self.core.clock.now());
        cron.schedule.ticks(from).take(count).collect()
    }
}

fn scheduled(entry: &TriggerEntry) -> Option<&CronTrigger> {
    match &entry.record.settings {
        TriggerSettings::Cron(cron) if entry.record.enabled => Some(cron),
        _ => None,
    }
}

/// The run of a tick.
fn tick_run(entry: &Arc<TriggerEntry>, cron: &CronTrigger, tick: Timestamp) -> NewRun {
    // Another look can choose this tick again until so many later ones have passed.
    let again = 1 + cron.missed.most() as usize;
    let until = cron.schedule.ticks(tick).nth(again).unwrap_or(tick);
    NewRun {
        delay: cron.policy().delay(entry.record.id.as_u128(), tick),
        ordering_key: (cron.overlap == Overlap::Queue).then(|| entry.record.id.to_string()),
        cause: Some(Cause { identity: tick.as_millis().to_string(), until }),
        ..NewRun::scheduled(entry, cron, tick)
    }
}
