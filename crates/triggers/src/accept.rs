//! Enqueues the runs that triggers make: in the queue of all background runs, those of one cause in one commit.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_ports::{Claim, ClaimQuota, Enqueued};
use faas_runs::accept::{COMMIT_PATIENCE, Draft, RunOptions, footprint};
use faas_runs::backlog_entry::BacklogEntry;
use faas_runs::dispatch::Oversize;
use faas_runs::payload::Payload;
use faas_runs::request::CallRequest;
use faas_runs::route::Route;
use faas_runs::stored_body::StoredBody;
use faas_types::{Code, CronTrigger, Digest, Fault, RunId, Timestamp};

use super::service::Triggers;
use super::table::TriggerEntry;

/// How long a cause is remembered beyond its time: a day, and an hour for clocks that differ.
const REMEMBERED: Duration = Duration::from_secs(25 * 3600);

/// A run to enqueue.
pub(super) struct NewRun {
    pub(super) entry: Arc<TriggerEntry>,
    pub(super) request: CallRequest<Bytes>,
    pub(super) delay: Duration,
    pub(super) ordering_key: Option<String>,
    /// Why the run is made. `None` makes a new run each time.
    pub(super) cause: Option<Cause>,
    /// Length of the chain of runs that caused it.
    pub(super) hops: u32,
}

/// Why a run is made. Only one run is made for each identity.
pub(super) struct Cause {
    /// Unique within the trigger: the tick, the delivery's id, or the event's source and id.
    pub(super) identity: String,
    /// Remembered until then, and for at least a day.
    pub(super) until: Timestamp,
}

/// An enqueued run.
#[derive(Clone, Copy, Debug)]
pub(super) struct TriggeredRun {
    pub(super) run: RunId,
    /// Whether an earlier request with the same cause had made it.
    pub(super) repeated: bool,
}

// === impl NewRun ===

impl NewRun {
    /// A run that is due at once.
    pub(super) fn of(entry: &Arc<TriggerEntry>, payload: Payload, body: Bytes) -> Self {
        let record = &entry.record;
        let (trigger, trigger_name) = (record.settings.kind(), Some(record.name().clone()));
        let request = CallRequest { trigger, trigger_name, payload, body };
        Self { entry: Arc::clone(entry), request, delay: Duration::ZERO, ordering_key: None, cause: None, hops: 0 }
    }

    fn options(&self) -> RunOptions {
        let (delay, ordering_key, hops) = (self.delay, self.ordering_key.clone(), self.hops);
        RunOptions { delay, ordering_key, hops, ..RunOptions::default() }
    }

    /// A run of a schedule's tick.
    pub(super) fn scheduled(entry: &Arc<TriggerEntry>, cron: &CronTrigger, at: Timestamp) -> Self {
        let (trigger, path) = entry.record.target();
        let payload = Payload::Tick { trigger, path, at, has_input: cron.input.is_some() };
        Self::of(entry, payload, cron.input.clone().unwrap_or_default().into())
    }
}

// === impl Triggers ===

impl Triggers {
    /// Enqueues one run, unless the server is stopping.
    pub(super) async fn accept_one(self: &Arc<Self>, run: NewRun) -> Result<TriggeredRun, Fault> {
        self.check_ready()?;
        let mut made = self.accept_all(vec![run]).await?;
        made.pop().ok_or_else(|| Fault::internal("an accepted run is not there"))
    }

    /// Enqueues all runs in one commit, or none of them. A run whose cause is known stands for the earlier one.
    pub(super) async fn accept_all(self: &Arc<Self>, runs: Vec<NewRun>) -> Result<Vec<TriggeredRun>, Fault> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let mut ready = Vec::with_capacity(runs.len());
        for run in runs {
            let route = self.route(&run.entry).await?;
            let entry =
                BacklogEntry::of(&self.runs, &route, footprint(&run.request, &run.options()), Oversize::Refused)?;
            ready.push((self.item_of(&route, run).await?, entry));
        }
        // In a task: a caller that goes away must not separate stored runs from their bodies and backlog entries.
        let triggers = Arc::clone(self);
        let storing = self.lifecycle.spawn(async move { triggers.enqueue(ready).await });
        let stored = tokio::time::timeout(COMMIT_PATIENCE, storing).await.map_err(|_| {
            Fault::new(Code::Unavailable, "it is not known whether the runs were accepted").with_retry_after(1)
        })?;
        stored.map_err(|error| Fault::internal(format!("runs of a trigger were not stored: {error}")))?
    }

    async fn enqueue(&self, ready: Vec<(Draft, BacklogEntry)>) -> Result<Vec<TriggeredRun>, Fault> {
        let (mut items, mut held) = (Vec::with_capacity(ready.len()), Vec::with_capacity(ready.len()));
        for (Draft { item, body }, entry) in ready {
            held.push((item.record.id, (item.record.project, item.record.function().id), body, entry));
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
                    TriggeredRun { run, repeated: false }
                }
                Enqueued::Known { run, .. } => TriggeredRun { run, repeated: true },
                Enqueued::Gone | Enqueued::TooManyClaims => {
                    return Err(Fault::internal("a trigger's run redrives nothing, and causes make room"));
                }
            });
        }
        self.runs.dispatch.queues.sign_all(fresh);
        Ok(made)
    }

    async fn item_of(self: &Arc<Self>, route: &Route, run: NewRun) -> Result<Draft, Fault> {
        let options = run.options();
        let NewRun { entry, request, cause, .. } = run;
        let mut draft = self.runs.item(route, request, options).await?;
        let quota = self.runs.dispatch.quotas.causes();
        draft.item.claim = cause.map(|cause| cause.claim(&entry, self.clock.now(), quota));
        Ok(draft)
    }
}

// === impl Cause ===

impl Cause {
    /// The claim that the first run of this cause holds. Its key begins with a control character, which no header value can
    /// have, so it never equals a caller's idempotency key.
    pub(super) fn claim(&self, entry: &TriggerEntry, now: Timestamp, quota: ClaimQuota) -> Claim {
        let named = blake3::hash(format!("{}\n{}", entry.record.id, self.identity).as_bytes());
        Claim {
            key: format!("\u{1}trigger:{}", named.to_hex()),
            // The cause alone decides: the same id with another body is the same delivery.
            fingerprint: Digest::from_bytes(*named.as_bytes()),
            expires_at: self.until.max(now).plus(REMEMBERED),
            quota: Some(quota),
        }
    }
}
