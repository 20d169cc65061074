//! Leases what is due as far as places are free, and keeps the leases.

use std::sync::Arc;
use std::time::{Duration, Instant};

use faas_ports::{Lease, LeaseMark, RunOutcome, Settlement};
use faas_types::{FunctionId, Timestamp};
use tokio_util::sync::CancellationToken;

use super::execute;
use crate::dispatch::{CommitRequest, Held};
use crate::runs::Runs;

/// The queue is looked over this often even when no news came, so that a lost sign only delays a run.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pause after the queue could not be read.
const FAILED: Duration = Duration::from_secs(1);
/// The shortest time between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// How often old dead letters, inputs and claims are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
/// Rows that one step of expiry removes.
const EXPIRE_BATCH: u32 = 500;

/// Leases and executes until the engine stops.
pub(super) async fn run(runs: Arc<Runs>) {
    let dispatch = &runs.dispatch;
    let worker = format!("{:032x}", runs.ids.entropy());
    let mut look_at = Instant::now();
    while !runs.lifecycle.is_stopping() {
        if dispatch.queues.take_look() {
            look_at = look_at.min(Instant::now() + LOOK_PAUSE);
        }
        if Instant::now() >= look_at {
            look_at = look(&runs).await;
        }
        give_back(&runs, |function| is_paused(&runs, function)).await;
        let asked = dispatch.queues.wants(Instant::now(), |function| is_paused(&runs, function));
        if asked.is_empty() {
            tokio::select! {
                () = runs.lifecycle.stopped() => break,
                () = dispatch.queues.changed() => {}
                () = tokio::time::sleep_until(look_at.into()) => {}
            }
            continue;
        }
        let wants: Vec<_> = asked.iter().map(|asked| asked.want).collect();
        match dispatch.queue.lease(&worker, &wants, dispatch.lease, runs.clock.now()).await {
            Ok(leases) => {
                leases.iter().for_each(|lease| hold(&runs, lease));
                execute::spawn(&runs, dispatch.queues.take(&asked, leases));
            }
            Err(error) => {
                tracing::error!(%error, "queued runs cannot be leased");
                tokio::time::sleep(FAILED).await;
            }
        }
    }
    give_back(&runs, |_| true).await;
}

fn is_paused(runs: &Runs, function: FunctionId) -> bool {
    runs.catalog.any_by_id(function).is_some_and(|entry| entry.record.paused)
}

fn hold(runs: &Runs, lease: &Lease) {
    let held = Held { mark: lease.mark(), stop: CancellationToken::new(), cancelled: false };
    let before = runs.dispatch.held.lock().insert(lease.record.id, held);
    if let Some(before) = before {
        // Its lease has lapsed, or it would not have been handed out again.
        before.stop.cancel();
    }
}

/// Finds work that was not signed: delays and backoffs that are over, leases that lapsed. Returns when to look
/// again.
async fn look(runs: &Runs) -> Instant {
    let now = runs.clock.now();
    match runs.dispatch.queue.outlook(now).await {
        Ok(outlook) => {
            if !outlook.ready.is_empty() {
                runs.dispatch.queues.sign_all(outlook.ready);
            }
            let due = outlook.next.map_or(LOOK_EVERY, |at: Timestamp| at.since(now));
            Instant::now() + due.clamp(LOOK_PAUSE, LOOK_EVERY)
        }
        Err(error) => {
            tracing::error!(%error, "the queue cannot be looked over");
            Instant::now() + FAILED
        }
    }
}

/// Gives back what is leased but waits for a place.
async fn give_back(runs: &Runs, goes: impl Fn(FunctionId) -> bool) {
    let leases = runs.dispatch.queues.drain(goes);
    let now = runs.clock.now();
    for lease in leases {
        let settlement = Settlement { lease: lease.mark(), outcome: RunOutcome::Return { not_before: now } };
        let (function, footprint) = (lease.record.function().id, lease.footprint);
        runs.dispatch.end(CommitRequest::Lease { settlement, function, footprint, ordered: false }).await;
    }
}

/// Extends every lease that is held; what was lost meanwhile is ended here.
pub(super) async fn keep_leases(runs: Arc<Runs>) {
    let mut beat = tokio::time::interval(runs.dispatch.lease / 3);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // Runs under way while the server drains keep their leases until they end or are given back.
            () = gone(&runs) => return,
            _ = beat.tick() => {}
        }
        let marks: Vec<LeaseMark> = runs.dispatch.held.lock().values().map(|held| held.mark).collect();
        for chunk in marks.chunks(1_000) {
            match runs.dispatch.queue.extend(chunk, runs.clock.now().plus(runs.dispatch.lease)).await {
                Ok(held) => {
                    let lost = chunk.iter().zip(held).filter(|(_, held)| !held);
                    lost.for_each(|(mark, _)| let_go(&runs, *mark));
                }
                Err(error) => tracing::error!(%error, "leases cannot be extended"),
            }
        }
    }
}

/// The engine stops and holds no lease any more.
async fn gone(runs: &Runs) {
    runs.lifecycle.stopped().await;
    while !runs.dispatch.held.lock().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn let_go(runs: &Runs, mark: LeaseMark) {
    let mut held = runs.dispatch.held.lock();
    if held.get(&mark.run).is_some_and(|known| known.mark == mark)
        && let Some(lost) = held.remove(&mark.run)
    {
        tracing::warn!(run_id = %mark.run, epoch = mark.epoch, "the lease of a run was lost; its execution ends");
        lost.stop.cancel();
    }
}

/// Forgets claims past their age, a few at a time.
pub(super) async fn expire(runs: Arc<Runs>) {
    let mut tick = tokio::time::interval(EXPIRE_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = runs.lifecycle.stopped() => return,
            _ = tick.tick() => {}
        }
        runs.dispatch.waiters.sweep();
        let now = runs.clock.now();
        while let Ok(gone) = runs.dispatch.claims.expire_claims(now, EXPIRE_BATCH).await
            && gone >= u64::from(EXPIRE_BATCH)
        {}
    }
}
