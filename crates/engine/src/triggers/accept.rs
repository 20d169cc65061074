//! How triggers make runs: through the queue that every accepted run goes through, all of a cause in one commit.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_ports::{Claim, ClaimQuota, Enqueued};
use faas_runs::accept::{COMMIT_PATIENCE, Draft, RunOptions, footprint};
use faas_runs::call::{CallRequest, Route, Selector};
use faas_runs::dispatch::{BacklogEntry, Oversize, StoredBody};
use faas_runs::lifecycle::stopping;
use faas_types::{Code, CronTrigger, Digest, Fault, RunId, Timestamp};

use super::table::TriggerEntry;
use crate::core::Core;
use crate::engine::Engine;

/// How long a cause is remembered beyond its own time: a day, and an hour for clocks that differ.
const REMEMBERED: Duration = Duration::from_secs(25 * 3600);

/// Headers that tell a function what called it. Nobody outside can set one.
const KIND: &str = "x-faas-trigger";
const NAME: &str = "x-faas-trigger-name";
const SCHEDULED: &str = "x-faas-scheduled-at";

/// A run that a trigger wants.
pub(super) struct NewRun {
    pub(super) entry: Arc<TriggerEntry>,
    pub(super) request: CallRequest,
    pub(super) delay: Duration,
    pub(super) ordering_key: Option<String>,
    /// Tells this run's cause from others of the trigger; `None` makes a run of its own each time.
    pub(super) cause: Option<Cause>,
    /// How many runs led to it, each caused by the one before.
    pub(super) hops: u32,
}

/// Why there is a run: only the first one for the same identity is made.
pub(super) struct Cause {
    /// Unique within the trigger: the tick, the delivery's id, the event's source and id.
    pub(super) identity: String,
    /// Remembered at least until then, and at least a day.
    pub(super) until: Timestamp,
}

/// A run that is there now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub(super) run: RunId,
    /// Whether it was made before, for the same cause.
    pub(super) repeated: bool,
}

// === impl NewRun ===

impl NewRun {
    /// A run that calls the trigger's function at once.
    pub(super) fn of(entry: &Arc<TriggerEntry>, headers: Vec<(String, String)>, body: Bytes) -> Self {
        let request = request(entry, headers, body);
        Self { entry: Arc::clone(entry), request, delay: Duration::ZERO, ordering_key: None, cause: None, hops: 0 }
    }

    fn later(&self) -> RunOptions {
        let (delay, ordering_key, hops) = (self.delay, self.ordering_key.clone(), self.hops);
        RunOptions { delay, ordering_key, hops, ..RunOptions::default() }
    }

    /// A run of a schedule.
    pub(super) fn scheduled(entry: &Arc<TriggerEntry>, cron: &CronTrigger, at: Timestamp) -> Self {
        let mut headers = vec![(SCHEDULED.to_owned(), at.to_string())];
        if cron.input.is_some() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let body = cron.input.clone().unwrap_or_default();
        Self::of(entry, headers, body.into())
    }
}

/// What a trigger calls its function with.
pub(super) fn request(entry: &TriggerEntry, mut headers: Vec<(String, String)>, body: Bytes) -> CallRequest {
    let record = &entry.record;
    let kind = record.settings.kind();
    headers.push((KIND.to_owned(), kind.as_str().to_owned()));
    headers.push((NAME.to_owned(), record.name().to_string()));
    CallRequest {
        trigger: kind,
        trigger_name: Some(record.name().clone()),
        method: "POST".to_owned(),
        path: record.settings.path().to_owned(),
        query: String::new(),
        headers,
        body,
    }
}

// === impl Engine ===

impl Engine {
    /// Makes one run.
    pub(super) async fn accept_trigger(&self, run: NewRun) -> Result<Made, Fault> {
        let mut made = self.accept_triggers(vec![run]).await?;
        made.pop().ok_or_else(|| Fault::internal("an accepted run is not there"))
    }

    /// Makes all runs in one commit, or none, unless the server is stopping.
    pub(super) async fn accept_triggers(&self, runs: Vec<NewRun>) -> Result<Vec<Made>, Fault> {
        if self.is_ready() { self.core.accept_triggers(runs).await } else { Err(stopping()) }
    }
}

// === impl Core ===

impl Core {
    /// Makes all runs in one commit, or none. Those whose cause has a run already are told of that one.
    pub(super) async fn accept_triggers(self: &Arc<Self>, runs: Vec<NewRun>) -> Result<Vec<Made>, Fault> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let mut ready = Vec::with_capacity(runs.len());
        for run in runs {
            let route = self.trigger_route(&run.entry).await?;
            let entry = BacklogEntry::of(&self.runs, &route, footprint(&run.request, &run.later()), Oversize::Refused)?;
            ready.push((self.trigger_item(&route, run).await?, entry));
        }
        // In a task: once they may be stored, they own their bodies and places, even where nobody waits.
        let core = Arc::clone(self);
        let storing = self.lifecycle.spawn(async move { core.enqueue_triggers(ready).await });
        let stored = tokio::time::timeout(COMMIT_PATIENCE, storing).await.map_err(|_| {
            Fault::new(Code::Unavailable, "it is not known whether the runs were accepted").with_retry_after(1)
        })?;
        stored.map_err(|error| Fault::internal(format!("runs of a trigger were not stored: {error}")))?
    }

    async fn enqueue_triggers(&self, ready: Vec<(Draft, BacklogEntry)>) -> Result<Vec<Made>, Fault> {
        let (mut items, mut held) = (Vec::with_capacity(ready.len()), Vec::with_capacity(ready.len()));
        for (Draft { item, body }, entry) in ready {
            held.push((item.record.id, (item.record.project, item.record.function), body, entry));
            items.push(item);
        }
        let outcomes = match self.runs.dispatch.queue.enqueue(items).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                if error.is_in_doubt() {
                    held.into_iter().filter_map(|(_, _, body, _)| body).for_each(StoredBody::keep);
                }
                return Err(error.into());
            }
        };
        let (mut made, mut fresh) = (Vec::with_capacity(held.len()), Vec::new());
        for (outcome, (run, owner, body, mut entry)) in outcomes.into_iter().zip(held) {
            made.push(match outcome {
                Enqueued::Accepted => {
                    entry.keep();
                    body.into_iter().for_each(StoredBody::keep);
                    fresh.push(owner);
                    Made { run, repeated: false }
                }
                Enqueued::Known { run, .. } => Made { run, repeated: true },
                Enqueued::Gone | Enqueued::TooManyClaims => {
                    return Err(Fault::internal("a trigger's run redrives nothing, and causes make room"));
                }
            });
        }
        self.runs.dispatch.queues.sign_all(fresh);
        Ok(made)
    }

    /// The version of a trigger's function that its alias points to.
    pub(super) async fn trigger_route(&self, entry: &TriggerEntry) -> Result<Route, Fault> {
        let record = &entry.record;
        let function = self.catalog.by_id(record.project, record.function);
        let function = function.ok_or_else(|| Fault::new(Code::FunctionNotFound, "the trigger's function is gone"))?;
        self.runs.route_entry(function, &Selector::Alias(record.alias.clone()), None).await
    }

    async fn trigger_item(self: &Arc<Self>, route: &Route, run: NewRun) -> Result<Draft, Fault> {
        let later = run.later();
        let NewRun { entry, request, cause, .. } = run;
        let mut draft = self.runs.item(route, request, later).await?;
        let quota = self.runs.dispatch.quotas.causes();
        draft.item.claim = cause.map(|cause| cause.claim(&entry, self.clock.now(), quota));
        Ok(draft)
    }
}

// === impl Cause ===

impl Cause {
    /// The name that the first run of this cause holds. It begins with what no header can bring, so that no caller's
    /// idempotency key can stand in its way.
    pub(super) fn claim(&self, entry: &TriggerEntry, now: Timestamp, quota: ClaimQuota) -> Claim {
        let named = blake3::hash(format!("{}\n{}", entry.record.id, self.identity).as_bytes());
        Claim {
            key: format!("\u{1}trigger:{}", named.to_hex()),
            // The cause alone decides: another body under the same id is no other delivery.
            fingerprint: Digest::from_bytes(*named.as_bytes()),
            expires_at: self.until.max(now).plus(REMEMBERED),
            quota: Some(quota),
        }
    }
}
