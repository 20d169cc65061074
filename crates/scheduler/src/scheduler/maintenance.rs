//! Periodic work: scaling down, keeping minimums, reclaiming capacity, closing pools.

use std::time::{Duration, Instant};

use faas_types::FunctionId;

use super::capacity::Fit;
use super::counters::{RefusalReason, StopReason};
use super::fairness::PoolId;
use super::pool::{PoolKey, PoolStatus};
use super::{CallRefusal, Effect, Handles, InstanceRef, Rejection, Scheduler};

/// An instance that is idle for this long is reclaimed for any function that lacks capacity, whatever their shares.
const RECLAIM_AFTER: Duration = Duration::from_secs(2);
/// Instances that are measured in one round.
const MEASURED_PER_ROUND: usize = 64;

impl<H: Handles> Scheduler<H> {
    /// Whether nothing runs, starts or waits, so that no maintenance is needed.
    pub(crate) fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }

    /// When [`recheck`](Self::recheck) is due.
    pub(crate) fn next_recheck(&self) -> Option<Instant> {
        self.rechecks.first().map(|(at, _)| *at)
    }

    /// Checks queues again that were expected to clear without another start.
    pub(crate) fn recheck(&mut self, now: Instant) {
        while let Some((_, id)) = self.rechecks.first().copied().filter(|(at, _)| *at <= now) {
            self.rechecks.pop_first();
            if let Some(pool) = self.pools.get_mut(&id) {
                pool.recheck_at = None;
            }
            self.update_demand(id, now);
        }
        self.start_wanted(now);
    }

    /// Scales down, keeps minimums and closes pools that no call can reach any more. Visits each pool that has an instance
    /// or a waiting call; functions without either have no pool.
    pub(crate) fn maintain(&mut self, now: Instant, idle_timeout: Duration, status: impl Fn(&PoolKey) -> PoolStatus) {
        let ids: Vec<PoolId> = self.pools.keys().copied().collect();
        let mut measured = 0;
        for id in ids {
            let Some(pool) = self.pools.get_mut(&id) else { continue };
            match status(&pool.key) {
                _ if pool.closed => {}
                PoolStatus::Outdated => self.close_pool(id, now),
                other => pool.is_live = other == PoolStatus::Live,
            }
            self.scale_down(id, now, idle_timeout);
            self.keep_minimum(id, now);
            measured += usize::from(measured < MEASURED_PER_ROUND && self.measure_one(id));
            self.remove_if_empty(id);
        }
        self.relieve_memory(now);
        self.reclaim_idle(now);
        self.start_wanted(now);
    }

    /// Stops instances that are idle for longer than `idle_timeout`, and sooner those beyond recent demand.
    fn scale_down(&mut self, id: PoolId, now: Instant, idle_timeout: Duration) {
        let Some(pool) = self.pools.get_mut(&id) else { return };
        let keep = pool.demand.keep(pool.instances.in_use(), idle_timeout, now);
        loop {
            let Some(pool) = self.pools.get(&id) else { return };
            let Some((index, idle)) = pool.instances.idle_longest(now).filter(|_| pool.spare() > 0) else { return };
            if idle < idle_timeout && pool.instances.live() <= keep {
                return;
            }
            self.stop_instance(InstanceRef { pool: id, index }, StopReason::Idle, now);
        }
    }

    /// Starts what the minimum lacks, while no other pool claims the capacity.
    pub(super) fn keep_minimum(&mut self, id: PoolId, now: Instant) {
        while let Some(pool) = self.pools.get(&id) {
            let fits = self.capacity.fits(pool.memory, self.fairness.holds(id).instances == 0) == Fit::Fits;
            if pool.missing_minimum(now) == 0 || !fits || self.fairness.has_claims() {
                return;
            }
            self.start_instance(id, now);
        }
    }

    fn measure_one(&mut self, id: PoolId) -> bool {
        let Some(pool) = self.pools.get_mut(&id) else { return false };
        pool.next_measured = pool.next_measured.wrapping_add(1);
        let Some((_, instance)) = pool.instances.nth(pool.next_measured) else { return false };
        self.effects.push(Effect::Measure { instance });
        true
    }

    /// The memory of an instance was measured.
    pub(crate) fn measured(&mut self, instance: InstanceRef, memory: u64) {
        let Some(pool) = self.pools.get_mut(&instance.pool) else { return };
        let Some(live) = pool.instances.get_mut(instance.index) else { return };
        let held = std::mem::replace(&mut live.memory, memory);
        pool.learn_memory(memory);
        self.capacity.remeasure(held, memory);
        self.fairness.remeasure(instance.pool, held, memory);
    }

    fn remove_if_empty(&mut self, id: PoolId) {
        let Some(pool) = self.pools.get(&id) else { return };
        if !pool.is_empty() || pool.min() > 0 {
            return;
        }
        let (key, recheck_at) = (pool.key, pool.recheck_at);
        self.pools.remove(&id);
        self.fairness.remove(id);
        recheck_at.map(|at| self.rechecks.remove(&(at, id)));
        if self.open.get(&key) == Some(&id) {
            self.open.remove(&key);
        }
        if let Some(ids) = self.by_function.get_mut(&key.function) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_function.remove(&key.function);
            }
        }
    }

    /// Stops idle instances, largest shares first, while instances use more memory than the node has.
    fn relieve_memory(&mut self, now: Instant) {
        while self.capacity.is_short_of_memory() {
            let Some(largest) = self.fairness.largest() else { return };
            self.stop_longest_idle(largest, StopReason::Memory, now);
        }
    }

    /// Reclaims instances that are idle for a while for a pool that lacks capacity. A function without any instance also
    /// gets those that only a minimum keeps.
    fn reclaim_idle(&mut self, now: Instant) {
        let Some(claimant) = self.fairness.next_claim() else { return };
        let Some(pool) = self.pools.get(&claimant) else { return };
        let is_first = self.fairness.holds(claimant).instances == 0;
        if self.capacity.fits(pool.memory, is_first) != Fit::Full {
            return;
        }
        let mut missing = pool.wanted.saturating_sub(self.capacity.terminating());
        let ids: Vec<PoolId> = self.pools.keys().copied().filter(|id| *id != claimant).collect();
        for id in ids {
            while missing > 0
                && let Some(pool) = self.pools.get(&id)
                && let Some((index, idle)) = pool.instances.idle_longest(now)
                && idle >= RECLAIM_AFTER
                && (is_first || pool.spare() > 0)
            {
                self.stop_instance(InstanceRef { pool: id, index }, StopReason::Reclaimed, now);
                missing -= 1;
            }
        }
    }

    /// Closes the pools of a function, except those that `keep` selects.
    pub(crate) fn close_pools(&mut self, function: FunctionId, now: Instant, keep: impl Fn(&PoolKey) -> bool) {
        for id in self.by_function.get(&function).cloned().unwrap_or_default() {
            if self.pools.get(&id).is_some_and(|pool| !pool.closed && !keep(&pool.key)) {
                self.close_pool(id, now);
            }
        }
        self.start_wanted(now);
    }

    /// Admits no more calls. Waiting calls move to the pool that took over, but for those that have moved often; calls under
    /// way end.
    fn close_pool(&mut self, id: PoolId, now: Instant) {
        self.stop_admitting(id, now);
        let moving = self.pools.get_mut(&id).map(|pool| pool.queue.take_moving()).unwrap_or_default();
        for (position, waiter) in moving {
            self.reject(id, waiter, Rejection::PoolClosed(position));
        }
        self.update_demand(id, now);
    }

    fn stop_admitting(&mut self, id: PoolId, now: Instant) {
        let Some(pool) = self.pools.get_mut(&id) else { return };
        pool.closed = true;
        self.open.remove(&pool.key);
        while let Some(pool) = self.pools.get(&id)
            && let Some((index, _)) = pool.instances.idle_longest(now)
        {
            self.stop_instance(InstanceRef { pool: id, index }, StopReason::Replaced, now);
        }
    }

    /// Admits no more calls. Waiting calls are still served.
    pub(crate) fn stop(&mut self, now: Instant) {
        self.stopping = true;
        let ids: Vec<PoolId> = self.pools.keys().copied().collect();
        ids.into_iter().for_each(|id| self.stop_admitting(id, now));
        self.start_wanted(now);
    }

    /// Refuses the calls that still wait and stops every instance, busy or not.
    pub(crate) fn abandon(&mut self, now: Instant) {
        let ids: Vec<PoolId> = self.pools.keys().copied().collect();
        for id in ids {
            while let Some((_, waiter, _)) = self.pools.get_mut(&id).and_then(|pool| pool.queue.pop()) {
                self.reject(
                    id,
                    waiter,
                    Rejection::Refused(CallRefusal { reason: RefusalReason::Stopping, retry_after: 1 }),
                );
            }
            let indices = self.pools.get(&id).map(|pool| pool.instances.indices()).unwrap_or_default();
            indices
                .into_iter()
                .for_each(|index| self.stop_instance(InstanceRef { pool: id, index }, StopReason::Replaced, now));
            self.update_demand(id, now);
        }
    }
}
