//! Sends callbacks that are due, a few at a time, until each is delivered or given up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faas_ports::{OutboundError, OutboundMessage, PortResult, TakeCallbacks, TakenCallback};
use faas_signing::sign;
use faas_types::{Callback, CallbackState, Timestamp};
use parking_lot::Mutex;

use super::callback_retry::{self, Attempted, Standing};
use crate::callback_policy::CallbackPolicy;
use crate::completion_metrics::add;
use crate::runs::Runs;

/// Attempts under way.
const AT_ONCE: u32 = 64;
/// Attempts under way at one host, so that a slow one does not hold up the others.
const PER_HOST: u32 = 8;
/// What is taken may be taken again after this time, should its attempt come to no end: longer than any attempt.
const TAKEN_FOR: Duration = Duration::from_secs(120);
/// It is looked for due ones this often even when no news came.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pause after they could not be read.
const FAILED: Duration = Duration::from_secs(1);
/// The shortest time between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// Attempts under way, by host.
type Busy = Arc<Mutex<BTreeMap<String, u32>>>;

/// Sends until the engine stops. What is under way then is left to the next start.
pub(crate) async fn run(runs: Arc<Runs>, policy: CallbackPolicy) {
    let busy = Busy::default();
    let mut after = String::new();
    loop {
        let look_at = look(&runs, policy, &busy, &mut after).await;
        tokio::select! {
            () = runs.lifecycle.stopped() => return,
            () = runs.completion_metrics.news.notified() => tokio::time::sleep(LOOK_PAUSE).await,
            () = tokio::time::sleep_until(look_at.into()) => {}
        }
    }
}

/// Starts what is due and has a place; returns when to look again.
async fn look(runs: &Arc<Runs>, policy: CallbackPolicy, busy: &Busy, after: &mut String) -> Instant {
    let now = runs.clock.now();
    match due(runs, busy, after, now).await {
        Ok((taken, next)) => {
            if let Some(last) = taken.last() {
                after.clone_from(&last.callback.host);
            }
            for callback in taken {
                *busy.lock().entry(callback.callback.host.clone()).or_default() += 1;
                let (runs, busy) = (Arc::clone(runs), Arc::clone(busy));
                runs.lifecycle.tasks().clone().spawn(async move { attempt(runs, policy, busy, callback).await });
            }
            let until = next.map_or(LOOK_EVERY, |next| next.since(now));
            // What is due but has no place waits for news of one.
            let until = if until.is_zero() { LOOK_EVERY } else { until };
            Instant::now() + until.clamp(LOOK_PAUSE, LOOK_EVERY)
        }
        Err(error) => {
            tracing::error!(%error, "callbacks cannot be looked for");
            Instant::now() + FAILED
        }
    }
}

/// What may be sent now, and when the next becomes due.
async fn due(
    runs: &Runs,
    busy: &Busy,
    after: &str,
    now: Timestamp,
) -> PortResult<(Vec<TakenCallback>, Option<Timestamp>)> {
    let callbacks = &runs.callbacks;
    let next = callbacks.next_callback().await?;
    let busy: Vec<_> = busy.lock().iter().map(|(host, count)| (host.clone(), *count)).collect();
    let limit = AT_ONCE.saturating_sub(busy.iter().map(|(_, count)| count).sum());
    if limit == 0 || next.is_none_or(|next| next > now) {
        return Ok((Vec::new(), next));
    }
    let (after, until) = (after.to_owned(), now.plus(TAKEN_FOR));
    let take = TakeCallbacks { after, busy, per_host: PER_HOST, limit, now, until };
    let taken = callbacks.take_callbacks(take).await?;
    Ok((taken, callbacks.next_callback().await?))
}

async fn attempt(runs: Arc<Runs>, policy: CallbackPolicy, busy: Busy, taken: TakenCallback) {
    let host = taken.callback.host.clone();
    tokio::select! {
        // It counts as not made: the next start takes it again.
        () = runs.lifecycle.stopped() => return,
        outcome = send(&runs, &taken) => conclude(&runs, policy, taken, outcome).await,
    }
    let mut busy = busy.lock();
    if let Some(count) = busy.get_mut(&host) {
        *count -= 1;
        if *count == 0 {
            busy.remove(&host);
        }
    }
    drop(busy);
    runs.completion_metrics.wake();
}

async fn send(runs: &Runs, taken: &TakenCallback) -> Result<u16, OutboundError> {
    let secrets = runs.live_signing_secrets(taken.project).await;
    let secrets = secrets.map_err(|fault| OutboundError::Failed(fault.message))?;
    let id = taken.run.to_string();
    let body = taken.callback.body.clone();
    let now = runs.clock.now();
    // Receivers that know either secret of a change take the message.
    let mut headers: Vec<(&'static str, String)> = vec![("content-type", "application/json".to_owned())];
    let mut signatures = Vec::new();
    for secret in &secrets {
        let [id, at, (name, signature)] = sign(secret, &id, now, &body);
        if signatures.is_empty() {
            headers.extend([id, at, (name, String::new())]);
        }
        signatures.push(signature);
    }
    if let Some((_, value)) = headers.last_mut() {
        *value = signatures.join(" ");
    }
    runs.outbound.post(OutboundMessage { url: taken.callback.url.clone(), headers, body }).await
}

async fn conclude(runs: &Runs, policy: CallbackPolicy, taken: TakenCallback, outcome: Result<u16, OutboundError>) {
    let now = runs.clock.now();
    let TakenCallback { project, run, callback, attempts } = taken;
    let attempted = Attempted { outcome: &outcome, attempts, ended_at: callback.ended_at, now };
    #[expect(clippy::cast_possible_truncation, reason = "any 64 of the random bits do")]
    let Standing { state, message, again } = callback_retry::next(policy, attempted, runs.ids.entropy() as u64);
    match state {
        CallbackState::Delivered => add(&runs.completion_metrics.delivered),
        CallbackState::Abandoned => {
            add(&runs.completion_metrics.abandoned);
            tracing::warn!(run_id = %run, attempts, message, "a callback is given up");
        }
        _ => add(&runs.completion_metrics.failed),
    }
    let shown = Callback { url: callback.url, state, attempts, at: Some(now), message };
    match runs.callbacks.note_callback(project, run, shown, again).await {
        Ok(true) => runs.outbox.remove(project, callback.body.len()),
        Ok(false) => {}
        // It is taken again, and so sent again: at least once.
        Err(error) => tracing::error!(%error, run_id = %run, "the end of a callback's attempt is not stored"),
    }
}
