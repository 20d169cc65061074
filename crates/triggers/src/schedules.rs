//! The task that fires schedules.
//!
//! A tick's run is enqueued first, under a claim that names the tick. The mark that the tick is decided is stored second.
//! After a crash between the two the tick is enqueued again, and the claim leads to the run that exists already.

use std::sync::Arc;
use std::time::Duration;

use faas_types::{Code, CronTrigger, Fault, Overlap, RunId, Timestamp, TriggerId, TriggerSettings};
use futures_util::StreamExt;

use super::accept::{Cause, NewRun};
use super::record::TriggerState;
use super::service::Triggers;
use super::table::TriggerEntry;
use super::timer_queue::TimerQueue;

/// Delay before a tick is tried again whose run could not be enqueued.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// Schedules that are decided concurrently; their commits share an fsync.
const AT_ONCE: usize = 64;
/// How often changed counters are stored.
const FLUSH_EVERY: Duration = Duration::from_secs(5);

/// Fires schedules until the server stops. Sleeps at most `look_every`, so that it notices when the clock was moved.
pub(super) async fn keep_schedules(triggers: Arc<Triggers>, look_every: Duration) {
    let mut timer_queue = TimerQueue::default();
    let mut flushed = tokio::time::Instant::now();
    while !triggers.lifecycle.is_stopping() {
        for id in triggers.table.take_changed() {
            timer_queue.set(id, triggers.next_due(id));
        }
        let due = timer_queue.take_due(triggers.clock.now());
        let decisions = futures_util::stream::iter(due).map(|id| {
            let triggers = Arc::clone(&triggers);
            async move { (id, triggers.decide(id).await) }
        });
        let mut decisions = decisions.buffer_unordered(AT_ONCE);
        while let Some((id, next)) = decisions.next().await {
            timer_queue.set(id, next);
        }
        drop(decisions);
        if flushed.elapsed() >= FLUSH_EVERY {
            flushed = tokio::time::Instant::now();
            if let Err(fault) = triggers.states.flush().await {
                tracing::warn!(error = %fault, "counters of triggers are not stored");
            }
        }
        let wait = timer_queue.next().map_or(look_every, |next| next.since(triggers.clock.now()).min(look_every));
        tokio::select! {
            () = triggers.lifecycle.stopped() => {}
            () = triggers.table.changed() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    if let Err(fault) = triggers.states.flush().await {
        tracing::warn!(error = %fault, "counters of triggers are not stored");
    }
}

/// What was decided about the ticks of a schedule that are due.
struct Decision {
    /// Every tick up to here is decided.
    decided: Timestamp,
    skipped: u64,
    runs: Vec<RunId>,
    failure: Option<Fault>,
}

// === impl Decision ===

impl Decision {
    /// Whether a tick could not be decided now but may be later.
    fn is_unfinished(&self) -> bool {
        self.failure.as_ref().is_some_and(Fault::is_retryable)
    }
}

// === impl Triggers ===

impl Triggers {
    /// The next tick of a trigger; `None` if it has no schedule or is switched off.
    fn next_due(&self, id: TriggerId) -> Option<Timestamp> {
        let entry = self.table.by_id(id)?;
        scheduled(&entry)?.schedule.after(self.decided(&entry))
    }

    /// The time up to which every tick is decided.
    fn decided(&self, entry: &TriggerEntry) -> Timestamp {
        self.states.get(entry.record.id).decided.max(entry.record.active_since)
    }

    /// Decides the ticks that are due. Returns when to decide again.
    async fn decide(self: &Arc<Self>, id: TriggerId) -> Option<Timestamp> {
        let entry = self.table.by_id(id)?;
        let cron = scheduled(&entry)?;
        let (before, now) = (self.decided(&entry), self.clock.now());
        let due = cron.schedule.due(cron.missed, before, now);
        let mut decision = Decision { decided: before, skipped: due.skipped as u64, runs: Vec::new(), failure: None };
        self.fire_ticks(&entry, cron, &due.ticks, &mut decision).await;
        let again = decision.is_unfinished();
        if again {
            decision.skipped = 0;
        } else {
            decision.decided = due.decided;
        }
        if let Some(fault) = &decision.failure {
            tracing::warn!(trigger_id = %id, error = %fault, "a schedule's run was not accepted");
        }
        match self.store(&entry, decision, now).await {
            Ok(()) if !again => due.next,
            Ok(()) => Some(now.plus(TRY_AGAIN)),
            Err(fault) => {
                tracing::warn!(trigger_id = %id, error = %fault, "a schedule's mark is not stored; it is tried again");
                Some(now.plus(TRY_AGAIN))
            }
        }
    }

    /// Enqueues the runs of ticks, up to the first that cannot be decided now.
    async fn fire_ticks(
        self: &Arc<Self>,
        entry: &Arc<TriggerEntry>,
        cron: &CronTrigger,
        ticks: &[Timestamp],
        decision: &mut Decision,
    ) {
        let mut last = self.states.get(entry.record.id).last_run;
        for tick in ticks {
            match self.fire_tick(entry, cron, *tick, last).await {
                Ok(Some(run)) => {
                    last = Some(run);
                    decision.runs.push(run);
                }
                Ok(None) => decision.skipped += 1,
                Err(fault) => decision.failure = Some(fault),
            }
            if decision.is_unfinished() {
                return;
            }
            decision.decided = *tick;
        }
    }

    /// Enqueues the run of a tick; `None` if the tick is skipped, since the run before has not ended.
    async fn fire_tick(
        self: &Arc<Self>,
        entry: &Arc<TriggerEntry>,
        cron: &CronTrigger,
        tick: Timestamp,
        last: Option<RunId>,
    ) -> Result<Option<RunId>, Fault> {
        if cron.overlap == Overlap::Skip && self.is_under_way(entry, last).await? {
            return Ok(None);
        }
        Ok(Some(self.accept_one(tick_run(entry, cron, tick)).await?.run))
    }

    /// Stores a decision, unless nothing happened.
    async fn store(&self, entry: &TriggerEntry, decision: Decision, now: Timestamp) -> Result<(), Fault> {
        let Decision { decided, skipped, runs, failure } = decision;
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
        self.states.save(entry.record.project, entry.record.id, change).await
    }

    /// Whether the trigger's last run has not ended.
    async fn is_under_way(&self, entry: &TriggerEntry, last: Option<RunId>) -> Result<bool, Fault> {
        let Some(last) = last else { return Ok(false) };
        match self.runs.history_reader.run(entry.record.project, last).await {
            Ok(run) => Ok(!run.state().is_terminal()),
            // Its record's retention has ended.
            Err(fault) if fault.code == Code::NotFound => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// The next times at which a trigger fires, at most `count`. Empty if it has no schedule or is switched off.
    #[must_use]
    pub fn next_fires(&self, entry: &TriggerEntry, after: Option<Timestamp>, count: usize) -> Vec<Timestamp> {
        let Some(cron) = scheduled(entry) else { return Vec::new() };
        let from = after.unwrap_or_else(|| self.decided(entry).max(self.clock.now()));
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
    // The tick can be decided again until this many later ticks have passed.
    let again = 1 + cron.missed.most() as usize;
    let until = cron.schedule.ticks(tick).nth(again).unwrap_or(tick);
    NewRun {
        delay: cron.policy().delay(entry.record.id.as_u128(), tick),
        ordering_key: (cron.overlap == Overlap::Queue).then(|| entry.record.id.to_string()),
        cause: Some(Cause { identity: tick.as_millis().to_string(), until }),
        ..NewRun::scheduled(entry, cron, tick)
    }
}
