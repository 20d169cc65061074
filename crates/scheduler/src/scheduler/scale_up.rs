//! Starts and stops instances by fair claims on the node's capacity.

use std::time::{Duration, Instant};

use super::capacity::Fit;
use super::counters::{RefusalReason, StopReason};
use super::fairness::PoolId;
use super::instances::InstanceIndex;
use super::{CallRefusal, Effect, Handles, InstanceRef, Rejection, Scheduler, StartReservation};

/// How long an instance with calls is safe from preemption. Many times the cost of a start, so that an overloaded node
/// spends its time on calls.
const QUANTUM: Duration = Duration::from_secs(1);

impl<H: Handles> Scheduler<H> {
    /// Starts what is claimed while there is capacity, smallest share first, and frees capacity by stopping idle instances.
    pub(super) fn start_wanted(&mut self, now: Instant) {
        while let Some(id) = self.fairness.next_claim() {
            let Some(pool) = self.pools.get(&id) else { return };
            match self.capacity.fits(pool.memory, self.fairness.holds(id).instances == 0) {
                Fit::Fits => self.start_instance(id, now),
                Fit::StartLimit => return,
                Fit::Full => return self.reclaim_for(id, now),
                Fit::TooLarge => self.refuse_all(id, now),
            }
        }
    }

    pub(super) fn start_instance(&mut self, id: PoolId, now: Instant) {
        let Some(pool) = self.pools.get_mut(&id) else { return };
        pool.starting += 1;
        let memory = pool.memory;
        self.effects
            .push(Effect::Start { pool: pool.spec.clone(), reservation: StartReservation { pool: id, memory } });
        self.capacity.start(memory);
        self.fairness.gain(id, memory);
        self.counters.starts += 1;
        self.update_demand(id, now);
    }

    /// Stops idle instances of larger shares, as many as the claimant waits for.
    fn reclaim_for(&mut self, claimant: PoolId, now: Instant) {
        let wanted = self.pools.get(&claimant).map_or(0, |pool| pool.wanted);
        while self.capacity.terminating() < wanted {
            let Some(larger) = self.fairness.larger_than(claimant) else { return };
            self.stop_longest_idle(larger, StopReason::Reclaimed, now);
        }
    }

    /// Stops the longest idle instance of a pool. A pool that has none to spare is not searched again until one falls idle.
    pub(super) fn stop_longest_idle(&mut self, id: PoolId, reason: StopReason, now: Instant) {
        let Some(pool) = self.pools.get(&id) else { return };
        match pool.instances.idle_longest(now).filter(|_| pool.spare() > 0) {
            Some((index, _)) => self.stop_instance(InstanceRef { pool: id, index }, reason, now),
            None => self.fairness.may_idle(id, false),
        }
    }

    /// No more instances of the pool can start: one was measured that is larger than the node.
    fn refuse_all(&mut self, id: PoolId, now: Instant) {
        let Some(pool) = self.pools.get_mut(&id) else { return };
        if pool.instances() > 0 {
            // The running instances serve the queue.
            return self.fairness.claim(id, None);
        }
        let refusal = CallRefusal { reason: RefusalReason::TooLarge, retry_after: 60 };
        while let Some((_, waiter, _)) = self.pools.get_mut(&id).and_then(|pool| pool.queue.pop()) {
            self.reject(id, waiter, Rejection::Refused(refusal));
        }
        self.update_demand(id, now);
    }

    /// Rejects a waiter that was just taken from the queue of a pool.
    pub(super) fn reject(&mut self, id: PoolId, waiter: H::Waiter, reason: Rejection) {
        if let Some(project) = self.pools.get(&id).map(|pool| pool.limits.project) {
            self.count_dequeued(project);
        }
        if let Rejection::Refused(refusal) = reason {
            self.counters.refused(refusal.reason);
        }
        self.effects.push(Effect::Reject { waiter, reason });
    }

    /// Whether an instance that just became idle, with calls waiting for it, is preempted for a function that has less.
    pub(super) fn must_preempt(&mut self, instance: InstanceRef, now: Instant) -> bool {
        let Some(claimant) = self.fairness.next_claim().filter(|claimant| *claimant != instance.pool) else {
            return false;
        };
        let Some(other) = self.pools.get(&claimant) else { return false };
        let (needs, wanted) = (other.memory, other.wanted);
        let is_first = self.fairness.holds(claimant).instances == 0;
        if self.capacity.terminating() >= wanted || self.capacity.fits(needs, is_first) != Fit::Full {
            return false;
        }
        let Some(pool) = self.pools.get_mut(&instance.pool) else { return false };
        let quantum = QUANTUM.max(pool.start.get().unwrap_or_default() * 8);
        let Some(live) = pool.instances.get_mut(instance.index) else { return false };
        let had_its_quantum = now.saturating_duration_since(live.born) >= quantum;
        had_its_quantum && self.fairness.should_preempt(instance.pool, live.memory, claimant, needs)
    }

    /// A start has succeeded. `memory` is what the instance uses, where that is known.
    pub(crate) fn started(
        &mut self,
        reservation: StartReservation,
        concurrency: u32,
        memory: Option<u64>,
        took: Duration,
        instance: impl FnOnce(InstanceRef) -> H::Instance,
        now: Instant,
    ) {
        self.capacity.start_ended();
        let id = reservation.pool;
        let Some(pool) = self.pools.get_mut(&id) else { return self.capacity.free(reservation.memory) };
        pool.starting -= 1;
        pool.start.add(took);
        pool.start_succeeded();
        pool.limits.concurrency = concurrency.max(1);
        let held = memory.unwrap_or(reservation.memory);
        memory.into_iter().for_each(|measured| pool.learn_memory(measured));
        let instance = instance(InstanceRef { pool: id, index: pool.instances.next_index() });
        let index = pool.instances.add(instance, concurrency, held, now);
        self.capacity.remeasure(reservation.memory, held);
        self.fairness.remeasure(id, reservation.memory, held);
        self.grant(id, now);
        self.mark_idle(InstanceRef { pool: id, index }, now);
        self.start_wanted(now);
    }

    /// Handles an instance that started without a call to serve.
    fn mark_idle(&mut self, instance: InstanceRef, now: Instant) {
        let Some(pool) = self.pools.get_mut(&instance.pool) else { return };
        let closed = pool.closed;
        if pool.instances.get_mut(instance.index).is_none_or(|live| live.calls > 0) {
            return;
        }
        if closed {
            self.stop_instance(instance, StopReason::Replaced, now);
        } else {
            self.fairness.may_idle(instance.pool, true);
        }
    }

    /// A start has failed. Returns the waiting call that fails with it, so that a broken function fails its callers at once
    /// instead of letting them wait for a start that never succeeds.
    pub(crate) fn failed(&mut self, reservation: StartReservation, now: Instant) -> Option<H::Waiter> {
        self.capacity.start_ended();
        self.capacity.free(reservation.memory);
        self.counters.failed_starts += 1;
        let pool = self.pools.get_mut(&reservation.pool)?;
        pool.starting -= 1;
        pool.start_failed(now);
        let (waiter, project) = (pool.queue.pop().map(|(_, waiter, _)| waiter), pool.limits.project);
        if waiter.is_some() {
            self.count_dequeued(project);
        }
        self.fairness.lose(reservation.pool, reservation.memory);
        self.update_demand(reservation.pool, now);
        self.start_wanted(now);
        waiter
    }

    /// Takes an instance out of service and has it stopped. Its capacity is free once it has ended.
    pub(super) fn stop_instance(&mut self, instance: InstanceRef, reason: StopReason, now: Instant) {
        let Some(pool) = self.pools.get_mut(&instance.pool) else { return };
        let Some(live) = pool.instances.remove(instance.index) else { return };
        self.fairness.lose(instance.pool, live.memory);
        self.capacity.terminate(live.memory);
        self.terminating.insert(instance, live.memory);
        self.counters.stopped(reason);
        self.effects.push(Effect::Stop { instance: live.instance, gracefully: reason.is_graceful() });
        self.update_demand(instance.pool, now);
    }

    /// Whether a call waits for capacity, or memory is short.
    pub(crate) fn lacks_capacity(&self) -> bool {
        self.fairness.next_claim().is_some() || self.capacity.is_short_of_memory()
    }

    /// An instance has ended, told to or not.
    pub(crate) fn exited(&mut self, instance: InstanceRef, now: Instant) {
        let InstanceRef { pool: id, index } = instance;
        if let Some(memory) = self.terminating.remove(&instance) {
            self.capacity.terminated(memory);
        } else if let Some(memory) = self.remove_instance(id, index) {
            self.fairness.lose(id, memory);
            self.capacity.free(memory);
            self.counters.stopped(StopReason::Exited);
            self.update_demand(id, now);
        }
        self.start_wanted(now);
    }

    fn remove_instance(&mut self, id: PoolId, index: InstanceIndex) -> Option<u64> {
        self.pools.get_mut(&id)?.instances.remove(index).map(|live| live.memory)
    }
}
