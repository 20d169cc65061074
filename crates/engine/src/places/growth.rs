//! Starting and ending instances: fair claims on the node's room.

use std::time::{Duration, Instant};

use super::crew::Seat;
use super::decisions::Ending;
use super::room::Fit;
use super::shares::PoolId;
use super::{Cast, Dismissal, Effect, Places, Refusal, SlotId, Start, Why};

/// How long an instance with work is left to its function before another one may have its room. Many times what a start
/// costs, so that a node that is too small for all spends its time on calls.
const QUANTUM: Duration = Duration::from_secs(1);

impl<C: Cast> Places<C> {
    /// Starts what is claimed as far as there is room, fairest claim first, and makes room by ending what idles.
    pub(super) fn settle(&mut self, now: Instant) {
        while let Some(id) = self.shares.next_claim() {
            let Some(pool) = self.pools.get(&id) else { return };
            match self.room.fits(pool.memory, self.shares.holds(id).instances == 0) {
                Fit::Yes => self.begin(id, now),
                Fit::Later => return,
                Fit::Full => return self.make_room(id, now),
                Fit::Never => self.give_up(id, now),
            }
        }
    }

    pub(super) fn begin(&mut self, id: PoolId, now: Instant) {
        let Some(pool) = self.pools.get_mut(&id) else { return };
        pool.starting += 1;
        let memory = pool.memory;
        self.effects.push(Effect::Start { pool: pool.spec.clone(), start: Start { pool: id, memory } });
        self.room.start(memory);
        self.shares.gain(id, memory);
        self.decisions.starts += 1;
        self.review(id, now);
    }

    /// Ends idle instances of those who hold more than a claimant, as many as it waits for.
    fn make_room(&mut self, claimant: PoolId, now: Instant) {
        let wanted = self.pools.get(&claimant).map_or(0, |pool| pool.wanted);
        while self.room.leaving() < wanted {
            let Some(richer) = self.shares.richer_than(claimant) else { return };
            self.take_idle(richer, Ending::Reclaimed, now);
        }
    }

    /// Ends the instance of a pool that idles longest; a pool that has none to spare is not asked again until one falls
    /// idle.
    pub(super) fn take_idle(&mut self, id: PoolId, ending: Ending, now: Instant) {
        let Some(pool) = self.pools.get(&id) else { return };
        match pool.crew.idle_longest(now).filter(|_| pool.spare() > 0) {
            Some((seat, _)) => self.retire(SlotId { pool: id, seat }, ending, now),
            None => self.shares.may_idle(id, false),
        }
    }

    /// An instance of these calls can never start: one has been measured that is larger than the node.
    fn give_up(&mut self, id: PoolId, now: Instant) {
        let Some(pool) = self.pools.get_mut(&id) else { return };
        if pool.instances() > 0 {
            // What runs serves the queue; only more of it cannot be had.
            return self.shares.claim(id, None);
        }
        let refusal = Refusal { why: Why::TooLarge, retry_after: 60 };
        while let Some((_, waiter, _)) = self.pools.get_mut(&id).and_then(|pool| pool.queue.pop()) {
            self.dismiss(id, waiter, Dismissal::Refused(refusal));
        }
        self.review(id, now);
    }

    /// For a waiter that was just taken from a pool's queue.
    pub(super) fn dismiss(&mut self, id: PoolId, waiter: C::Waiter, why: Dismissal) {
        if let Some(project) = self.pools.get(&id).map(|pool| pool.terms.project) {
            self.count_out(project);
        }
        if let Dismissal::Refused(refusal) = why {
            self.decisions.refused(refusal.why);
        }
        self.effects.push(Effect::Dismiss { waiter, why });
    }

    /// Whether an instance that just became free, and has calls waiting for it, goes to a function that has less.
    pub(super) fn must_yield(&mut self, slot: SlotId, now: Instant) -> bool {
        let Some(claimant) = self.shares.next_claim().filter(|claimant| *claimant != slot.pool) else { return false };
        let Some(other) = self.pools.get(&claimant) else { return false };
        let (needs, wanted) = (other.memory, other.wanted);
        let is_newcomer = self.shares.holds(claimant).instances == 0;
        if self.room.leaving() >= wanted || self.room.fits(needs, is_newcomer) != Fit::Full {
            return false;
        }
        let Some(pool) = self.pools.get_mut(&slot.pool) else { return false };
        let quantum = QUANTUM.max(pool.start.get().unwrap_or_default() * 8);
        let Some(member) = pool.crew.get_mut(slot.seat) else { return false };
        let had_its_time = now.saturating_duration_since(member.born) >= quantum;
        had_its_time && self.shares.should_yield(slot.pool, member.memory, claimant, needs)
    }

    /// A start has brought an instance, which holds `memory` where that can be told.
    pub(crate) fn started(
        &mut self,
        start: Start,
        concurrency: u32,
        memory: Option<u64>,
        took: Duration,
        slot: impl FnOnce(SlotId) -> C::Slot,
        now: Instant,
    ) {
        self.room.started();
        let id = start.pool;
        let Some(pool) = self.pools.get_mut(&id) else { return self.room.give(start.memory) };
        pool.starting -= 1;
        pool.start.add(took);
        pool.note_success();
        pool.terms.concurrency = concurrency.max(1);
        let held = memory.unwrap_or(start.memory);
        memory.into_iter().for_each(|measured| pool.learn(measured));
        let instance = slot(SlotId { pool: id, seat: pool.crew.next_seat() });
        let seat = pool.crew.add(instance, concurrency, held, now);
        self.room.remeasure(start.memory, held);
        self.shares.remeasure(id, start.memory, held);
        self.serve(id, now);
        self.rest(SlotId { pool: id, seat }, now);
        self.settle(now);
    }

    /// What happens to an instance that starts without a call to take.
    fn rest(&mut self, slot: SlotId, now: Instant) {
        let Some(pool) = self.pools.get_mut(&slot.pool) else { return };
        let closed = pool.closed;
        if pool.crew.get_mut(slot.seat).is_none_or(|member| member.calls > 0) {
            return;
        }
        if closed {
            self.retire(slot, Ending::Replaced, now);
        } else {
            self.shares.may_idle(slot.pool, true);
        }
    }

    /// A start has failed. Returns the call that it answers for, so that a broken function fails its callers at once
    /// instead of letting them wait for a start that never succeeds.
    pub(crate) fn failed(&mut self, start: Start, now: Instant) -> Option<C::Waiter> {
        self.room.started();
        self.room.give(start.memory);
        self.decisions.failed_starts += 1;
        let pool = self.pools.get_mut(&start.pool)?;
        pool.starting -= 1;
        pool.note_failure(now);
        let (waiter, project) = (pool.queue.pop().map(|(_, waiter, _)| waiter), pool.terms.project);
        if waiter.is_some() {
            self.count_out(project);
        }
        self.shares.lose(start.pool, start.memory);
        self.review(start.pool, now);
        self.settle(now);
        waiter
    }

    /// Takes an instance out of service and has it stopped. Its room comes back when it is gone.
    pub(super) fn retire(&mut self, slot: SlotId, ending: Ending, now: Instant) {
        let Some(pool) = self.pools.get_mut(&slot.pool) else { return };
        let Some(member) = pool.crew.remove(slot.seat) else { return };
        self.shares.lose(slot.pool, member.memory);
        self.room.leave(member.memory);
        self.leaving.insert(slot, member.memory);
        self.decisions.ended(ending);
        self.effects.push(Effect::Stop { slot: member.instance, gently: ending.is_gentle() });
        self.review(slot.pool, now);
    }

    /// Whether a call waits for room that there is not.
    pub(crate) fn lacks_room(&self) -> bool {
        self.shares.next_claim().is_some() || self.room.is_short_of_memory()
    }

    /// An instance is gone, told to or not.
    pub(crate) fn exited(&mut self, slot: SlotId, now: Instant) {
        let SlotId { pool: id, seat } = slot;
        if let Some(memory) = self.leaving.remove(&slot) {
            self.room.left(memory);
        } else if let Some(member) = self.take_member(id, seat) {
            self.shares.lose(id, member);
            self.room.give(member);
            self.decisions.ended(Ending::Exited);
            self.review(id, now);
        }
        self.settle(now);
    }

    fn take_member(&mut self, id: PoolId, seat: Seat) -> Option<u64> {
        self.pools.get_mut(&id)?.crew.remove(seat).map(|member| member.memory)
    }
}
