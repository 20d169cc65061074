//! Leases what is due as far as places are free, and keeps the leases.

use std::sync::Arc;
use std::time::{Duration, Instant};

use faas_ports::{Lease, LeaseMark, Settlement, Verdict};
use faas_types::{FunctionId, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{Ending, Held, execute};
use crate::core::Core;

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
pub(super) async fn run(core: Arc<Core>) {
    let dispatch = &core.dispatch;
    let worker = format!("{:032x}", core.ids.entropy());
    let mut look_at = Instant::now();
    while !core.stop.is_cancelled() {
        if dispatch.lanes.take_look() {
            look_at = look_at.min(Instant::now() + LOOK_PAUSE);
        }
        if Instant::now() >= look_at {
            look_at = look(&core).await;
        }
        give_back(&core, |function| is_paused(&core, function)).await;
        let asked = dispatch.lanes.wants(Instant::now(), |function| is_paused(&core, function));
        if asked.is_empty() {
            tokio::select! {
                () = core.stop.cancelled() => break,
                () = dispatch.lanes.changed() => {}
                () = tokio::time::sleep_until(look_at.into()) => {}
            }
            continue;
        }
        let wants: Vec<_> = asked.iter().map(|asked| asked.want).collect();
        match dispatch.queue.lease(&worker, &wants, dispatch.lease, core.clock.now()).await {
            Ok(leases) => {
                leases.iter().for_each(|lease| hold(&core, lease));
                spawn(&core, dispatch.lanes.take(&asked, leases));
            }
            Err(error) => {
                tracing::error!(%error, "queued runs cannot be leased");
                tokio::time::sleep(FAILED).await;
            }
        }
    }
    give_back(&core, |_| true).await;
}

/// Tries runs, each in a task of its own.
pub(super) fn spawn(core: &Arc<Core>, leases: Vec<Lease>) {
    for lease in leases {
        core.tasks.spawn(execute::run(Arc::clone(core), lease));
    }
}

fn is_paused(core: &Core, function: FunctionId) -> bool {
    core.catalog.all_by_id(function).is_some_and(|entry| entry.record.paused)
}

fn hold(core: &Core, lease: &Lease) {
    let held = Held { mark: lease.mark(), stop: CancellationToken::new(), cancelled: false };
    let before = core.dispatch.held.lock().insert(lease.record.id, held);
    if let Some(before) = before {
        // Its lease has lapsed, or it would not have been handed out again.
        before.stop.cancel();
    }
}

/// Finds work that nobody gave a sign of: delays and backoffs that are over, leases that lapsed. Returns when to look
/// again.
async fn look(core: &Core) -> Instant {
    let now = core.clock.now();
    match core.dispatch.queue.outlook(now).await {
        Ok(outlook) => {
            if !outlook.ready.is_empty() {
                core.dispatch.lanes.sign_all(outlook.ready);
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
async fn give_back(core: &Core, goes: impl Fn(FunctionId) -> bool) {
    let leases = core.dispatch.lanes.drain(goes);
    let now = core.clock.now();
    for lease in leases {
        let settlement = Settlement { lease: lease.mark(), verdict: Verdict::Return { not_before: now } };
        let (function, footprint) = (lease.record.function, lease.footprint);
        core.dispatch.end(Ending::Lease { settlement, function, footprint, ordered: false }).await;
    }
}

/// Extends every lease that is held; what was lost meanwhile is ended here.
pub(super) async fn keep_leases(core: Arc<Core>) {
    let mut beat = tokio::time::interval(core.dispatch.lease / 3);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // Runs under way while the server drains keep their leases until they end or are given back.
            () = gone(&core) => return,
            _ = beat.tick() => {}
        }
        let marks: Vec<LeaseMark> = core.dispatch.held.lock().values().map(|held| held.mark).collect();
        for chunk in marks.chunks(1_000) {
            match core.dispatch.queue.extend(chunk, core.clock.now().plus(core.dispatch.lease)).await {
                Ok(held) => {
                    let lost = chunk.iter().zip(held).filter(|(_, held)| !held);
                    lost.for_each(|(mark, _)| let_go(&core, *mark));
                }
                Err(error) => tracing::error!(%error, "leases cannot be extended"),
            }
        }
    }
}

/// The engine stops and holds no lease any more.
async fn gone(core: &Core) {
    core.stop.cancelled().await;
    while !core.dispatch.held.lock().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn let_go(core: &Core, mark: LeaseMark) {
    let mut held = core.dispatch.held.lock();
    if held.get(&mark.run).is_some_and(|known| known.mark == mark)
        && let Some(lost) = held.remove(&mark.run)
    {
        tracing::warn!(run_id = %mark.run, epoch = mark.epoch, "the lease of a run was lost; its execution ends");
        lost.stop.cancel();
    }
}

/// Forgets claims past their age, a few at a time.
pub(super) async fn expire(core: Arc<Core>) {
    let mut tick = tokio::time::interval(EXPIRE_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = core.stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        core.dispatch.waiters.sweep();
        let now = core.clock.now();
        while let Ok(gone) = core.dispatch.claims.expire_claims(now, EXPIRE_BATCH).await
            && gone >= u64::from(EXPIRE_BATCH)
        {}
    }
}
