//! One attempt of a leased run, made as a call is made.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use faas_ports::{InvocationBody, Lease, RunOutcome, Settlement};
use faas_scheduler::Urgency;
use faas_types::{Background, Fault, FunctionSettings, Reason, RunRecord, Span, limits};
use futures_util::StreamExt;
use tokio::sync::oneshot;

use super::outcome::{self, AttemptEnd, FinishedAttempt};
use crate::attempt_outcome::AttemptOutcome;
use crate::batch;
use crate::completion;
use crate::dispatch::{CommitRequest, QueueKey};
use crate::input::RunInput;
use crate::payload::http_reply;
use crate::request::CallRequest;
use crate::retry::{self, Tried};
use crate::route::{Route, Selector};
use crate::run_guard::RunGuard;
use crate::runs::Runs;

/// A function without a free place is left alone for so long.
const REST: Duration = Duration::from_millis(100);

/// Tries runs, each in its own task.
pub(super) fn spawn(runs: &Arc<Runs>, leases: Vec<Lease>) {
    for lease in leases {
        runs.lifecycle.spawn(run(Arc::clone(runs), lease));
    }
}

/// Tries a leased run once and hands its end to the committer.
async fn run(runs: Arc<Runs>, lease: Lease) {
    let (mark, function, ordered) = (lease.mark(), lease.record.function().id, lease.ordering_key.is_some());
    let key = (mark.project, function);
    let stop = runs.dispatch.held.lock().get(&mark.run).filter(|held| held.mark == mark).map(|held| held.stop.clone());
    if let Some(stop) = stop {
        let (sink, ended) = oneshot::channel();
        let trial = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            trial = Box::pin(attempt(&runs, &lease, sink)) => Some(trial),
        };
        let record = ended.await.ok().map(|record| Box::new(Arc::unwrap_or_clone(record)));
        // Before the commit, so that the place is not kept waiting for the disk.
        next(&runs, key, trial.as_ref());
        let settings = trial.as_ref().map(|trial| trial.settings.clone());
        let outcome = match trial {
            Some(trial) => Some(outcome::of(&runs, &lease, trial, record)),
            None => runs.dispatch.is_cancelled(mark).then(|| outcome::cancelled(&runs, &lease, record)),
        };
        if let Some(outcome) = with_follow_ups(&runs, &lease, outcome, settings.as_ref()).await {
            let settlement = Settlement { lease: mark, outcome };
            let footprint = lease.footprint;
            runs.dispatch.end(CommitRequest::Lease { settlement, function, footprint, ordered }).await;
        }
    } else {
        next(&runs, key, None);
    }
}

/// An outcome with what follows the end of the run; `None` when that cannot be decided any more.
async fn with_follow_ups(
    runs: &Runs,
    lease: &Lease,
    outcome: Option<RunOutcome>,
    settings: Option<&Background>,
) -> Option<RunOutcome> {
    match outcome? {
        RunOutcome::Finish { mut record, dead, .. } => {
            let mut follow_ups = completion::follow(runs, &mut record, settings).await?;
            if let Some(next) = &mut follow_ups.run {
                // What a caller without a key has set off stays in the part of such callers.
                next.footprint.keyless = lease.footprint.keyless;
            }
            Some(RunOutcome::Finish { record, dead, follow_ups })
        }
        other => Some(other),
    }
}

fn next(runs: &Arc<Runs>, key: QueueKey, trial: Option<&FinishedAttempt>) {
    if let Some(AttemptEnd::Failed(fault)) = trial.map(|trial| &trial.end)
        && retry::costs_nothing(fault.code)
    {
        runs.dispatch.queues.rest(key, REST);
    }
    spawn(runs, runs.dispatch.queues.ended(key, None));
}

async fn attempt(runs: &Arc<Runs>, lease: &Lease, sink: oneshot::Sender<Arc<RunRecord>>) -> FinishedAttempt {
    let route = match route(runs, lease).await {
        Ok(route) => route,
        Err(fault) => return FinishedAttempt { settings: Background::default(), end: AttemptEnd::Failed(fault) },
    };
    let mut settings = route.version.settings.background.clone();
    if let Some(own) = runs.hooks.retry_policy(&lease.record) {
        settings.retry = own;
    }
    let end = match RunInput::load(lease.input.clone(), &*runs.blobs).await {
        Ok(input) => {
            if let Some(age) = input.max_age {
                settings.retry.max_age = Span::from_millis(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
            }
            let now = runs.clock.now();
            let attempts = u32::try_from(lease.record.attempts.len()).unwrap_or(u32::MAX);
            let tried = Tried { created_at: lease.record.created_at, attempts, now };
            let lost = lease.deliveries.saturating_sub(1).saturating_sub(attempts);
            match retry::spent(&settings.retry, tried, lost) {
                Some(straw) => AttemptEnd::Spent(straw),
                None => call(runs, lease, route, input, sink).await,
            }
        }
        Err(error) => AttemptEnd::Failed(error.into()),
    };
    FinishedAttempt { settings, end }
}

async fn route(runs: &Arc<Runs>, lease: &Lease) -> Result<Route, Fault> {
    let record = &lease.record;
    let entry = runs.catalog.by_id(record.project, record.function().id).ok_or_else(|| {
        Fault::new(Reason::FunctionDeleted, format!("`{}` was deleted before the run began", record.function().name))
    })?;
    let version = runs.catalog.version(&entry, record.function().version).await?;
    let capacity = capacity(&version.settings, version.concurrency);
    spawn(runs, runs.dispatch.queues.learn((record.project, record.function().id), capacity));
    // A run keeps the version that it was accepted for.
    let selector = Selector::Version(record.function().version);
    Ok(Route { entry, version, selector, lot: None, stage: record.stage })
}

fn capacity(settings: &FunctionSettings, concurrency: u32) -> u32 {
    settings.scaling.max.saturating_mul(settings.scaling.concurrency.unwrap_or(concurrency).max(1))
}

async fn call(
    runs: &Arc<Runs>,
    lease: &Lease,
    route: Route,
    input: RunInput,
    sink: oneshot::Sender<Arc<RunRecord>>,
) -> AttemptEnd {
    let RunInput { payload, mut body, .. } = input;
    let carried = lease.record.batch.as_ref().map(|batch| (body.clone(), batch));
    if let Some((kept, batch)) = &carried {
        let attempt = u32::try_from(lease.record.attempts.len()).unwrap_or(u32::MAX - 1) + 1;
        match batch::of_attempt(kept, batch, attempt) {
            Ok(told) => body = told,
            Err(fault) => return AttemptEnd::Failed(fault),
        }
    }
    let stats = runs.stats.function(route.entry.record.id, &route.entry.record.name);
    let guard = RunGuard::again(Arc::clone(runs), stats, fresh(&lease.record), sink);
    let (trigger, trigger_name) = (lease.record.trigger, lease.record.trigger_name.clone());
    let request = CallRequest { trigger, trigger_name, payload, body: InvocationBody::Whole(body) };
    match runs.carry(guard, route, request, Urgency::Background).await {
        Err(failure) => AttemptEnd::Failed(failure.fault),
        Ok(call) => {
            let head = call.head;
            let most = if carried.is_some() { usize::MAX } else { limits::RESULT_KEPT_MAX };
            let body = match whole(call.body, most).await {
                Ok(body) => body,
                Err(fault) => return AttemptEnd::Failed(fault),
            };
            let left = match carried.filter(|_| http_reply::outcome(head.status) == AttemptOutcome::Completed) {
                Some((kept, batch)) => batch::failed(&kept, batch, &body),
                None => Ok(Vec::new()),
            };
            match left {
                Ok(left) if left.is_empty() => AttemptEnd::Answered { head, body },
                Ok(left) => AttemptEnd::Partly { head, left: Some(left), why: None },
                Err(why) => AttemptEnd::Partly { head, left: None, why: Some(why) },
            }
        }
    }
}

/// The exchange has bounded it already; of what comes in pieces, those that begin within `most` bytes are kept.
async fn whole(mut body: crate::reply::CallBody, most: usize) -> Result<Bytes, Fault> {
    if let crate::reply::CallBody::Whole(bytes) = body {
        return Ok(bytes);
    }
    let mut all = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        if all.len() <= most {
            all.extend_from_slice(&chunk);
        }
    }
    Ok(all.freeze())
}

/// The record without what an earlier attempt left in it.
fn fresh(record: &RunRecord) -> RunRecord {
    let mut fresh = record.clone();
    (fresh.code, fresh.message, fresh.error) = (None, None, None);
    (fresh.http_status, fresh.result, fresh.due_at) = (None, None, None);
    fresh
}
