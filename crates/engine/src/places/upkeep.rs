//! What happens without a call: scaling in, keeping minimums, making room in time, closing.

use std::time::{Duration, Instant};

use faas_types::FunctionId;

use super::decisions::Ending;
use super::pool::{PoolKey, Standing};
use super::room::Fit;
use super::shares::PoolId;
use super::{Cast, Dismissal, Effect, Places, Refusal, SlotId, Why};

/// An instance that idles for so long is given to any function that lacks room, whatever their shares.
const RESTED: Duration = Duration::from_secs(2);
/// Instances whose memory is looked at in one round.
const MEASURED_AT_ONCE: usize = 64;

impl<C: Cast> Places<C> {
    /// Whether nothing runs, starts or waits, so that no upkeep is needed.
    pub(crate) fn is_quiet(&self) -> bool {
        self.pools.is_empty()
    }

    /// When [`wake`](Self::wake) is due.
    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// Looks again at queues that were thought to clear by themselves.
    pub(crate) fn wake(&mut self, now: Instant) {
        while let Some((_, id)) = self.alarms.first().copied().filter(|(at, _)| *at <= now) {
            self.alarms.pop_first();
            if let Some(pool) = self.pools.get_mut(&id) {
                pool.alarm = None;
            }
            self.review(id, now);
        }
        self.settle(now);
    }

    /// Scales in, keeps minimums and closes what nobody can call any more. Costs a look at each pool that has an
    /// instance or a waiting call; functions without either have no pool.
    pub(crate) fn tend(&mut self, now: Instant, idle_timeout: Duration, standing: impl Fn(&PoolKey) -> Standing) {
        let ids: Vec<PoolId> = self.pools.keys().copied().collect();
        let mut measured = 0;
        for id in ids {
            let Some(pool) = self.pools.get_mut(&id) else { continue };
            match standing(&pool.key) {
                _ if pool.closed => {}
                Standing::Outdated => self.close_pool(id, now),
                other => pool.is_live = other == Standing::Live,
            }
            self.scale_in(id, now, idle_timeout);
            self.keep_minimum(id, now);
            measured += usize::from(measured < MEASURED_AT_ONCE && self.measure_one(id));
            self.forget_if_empty(id);
        }
        self.relieve_memory(now);
        self.wake_rested(now);
        self.settle(now);
    }

    /// Ends what idles for longer than `idle_timeout`, and sooner what is more than was in use at once lately.
    fn scale_in(&mut self, id: PoolId, now: Instant, idle_timeout: Duration) {
        let Some(pool) = self.pools.get_mut(&id) else { return };
        let keep = pool.demand.keep(pool.crew.in_use(), idle_timeout, now);
        loop {
            let Some(pool) = self.pools.get(&id) else { return };
            let Some((seat, idle)) = pool.crew.idle_longest(now).filter(|_| pool.spare() > 0) else { return };
            if idle < idle_timeout && pool.crew.live() <= keep {
                return;
            }
            self.retire(SlotId { pool: id, seat }, Ending::Idle, now);
        }
    }

    /// Starts what the minimum lacks, into room that nobody else wants.
    pub(super) fn keep_minimum(&mut self, id: PoolId, now: Instant) {
        while let Some(pool) = self.pools.get(&id) {
            let fits = self.room.fits(pool.memory, self.shares.holds(id).instances == 0) == Fit::Yes;
            if pool.lacks(now) == 0 || !fits || self.shares.has_claims() {
                return;
            }
            self.begin(id, now);
        }
    }

    fn measure_one(&mut self, id: PoolId) -> bool {
        let Some(pool) = self.pools.get_mut(&id) else { return false };
        pool.turn = pool.turn.wrapping_add(1);
        let Some((_, slot)) = pool.crew.nth(pool.turn) else { return false };
        self.effects.push(Effect::Measure { slot });
        true
    }

    /// An instance holds so many bytes.
    pub(crate) fn measured(&mut self, slot: SlotId, memory: u64) {
        let Some(pool) = self.pools.get_mut(&slot.pool) else { return };
        let Some(member) = pool.crew.get_mut(slot.seat) else { return };
        let held = std::mem::replace(&mut member.memory, memory);
        pool.learn(memory);
        self.room.remeasure(held, memory);
        self.shares.remeasure(slot.pool, held, memory);
    }

    fn forget_if_empty(&mut self, id: PoolId) {
        let Some(pool) = self.pools.get(&id) else { return };
        if !pool.is_empty() || pool.min() > 0 {
            return;
        }
        let (key, alarm) = (pool.key, pool.alarm);
        self.pools.remove(&id);
        self.shares.quit(id);
        alarm.map(|at| self.alarms.remove(&(at, id)));
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

    /// Ends idle instances, of those first who hold most, while all together hold more than there is.
    fn relieve_memory(&mut self, now: Instant) {
        while self.room.is_short_of_memory() {
            let Some(richest) = self.shares.richest() else { return };
            self.take_idle(richest, Ending::Memory, now);
        }
    }

    /// Gives what has idled for a while to whoever lacks room. A function that has nothing also gets what only a minimum
    /// keeps.
    fn wake_rested(&mut self, now: Instant) {
        let Some(claimant) = self.shares.next_claim() else { return };
        let Some(pool) = self.pools.get(&claimant) else { return };
        let is_newcomer = self.shares.holds(claimant).instances == 0;
        if self.room.fits(pool.memory, is_newcomer) != Fit::Full {
            return;
        }
        let mut lacking = pool.wanted.saturating_sub(self.room.leaving());
        let ids: Vec<PoolId> = self.pools.keys().copied().filter(|id| *id != claimant).collect();
        for id in ids {
            while lacking > 0
                && let Some(pool) = self.pools.get(&id)
                && let Some((seat, idle)) = pool.crew.idle_longest(now)
                && idle >= RESTED
                && (is_newcomer || pool.spare() > 0)
            {
                self.retire(SlotId { pool: id, seat }, Ending::Reclaimed, now);
                lacking -= 1;
            }
        }
    }

    /// Closes the pools of a function that `keep` does not want.
    pub(crate) fn close(&mut self, function: FunctionId, now: Instant, keep: impl Fn(&PoolKey) -> bool) {
        for id in self.by_function.get(&function).cloned().unwrap_or_default() {
            if self.pools.get(&id).is_some_and(|pool| !pool.closed && !keep(&pool.key)) {
                self.close_pool(id, now);
            }
        }
        self.settle(now);
    }

    /// Admits no call any more. Calls that wait are told to go to the pool that took over; calls under way end.
    fn close_pool(&mut self, id: PoolId, now: Instant) {
        self.shut(id, now);
        while let Some((turn, waiter, _)) = self.pools.get_mut(&id).and_then(|pool| pool.queue.pop()) {
            self.dismiss(id, waiter, Dismissal::Closed(turn));
        }
        self.review(id, now);
    }

    fn shut(&mut self, id: PoolId, now: Instant) {
        let Some(pool) = self.pools.get_mut(&id) else { return };
        pool.closed = true;
        self.open.remove(&pool.key);
        while let Some(pool) = self.pools.get(&id)
            && let Some((seat, _)) = pool.crew.idle_longest(now)
        {
            self.retire(SlotId { pool: id, seat }, Ending::Replaced, now);
        }
    }

    /// Takes no more calls. Those that wait are still served.
    pub(crate) fn stop(&mut self, now: Instant) {
        self.stopping = true;
        let ids: Vec<PoolId> = self.pools.keys().copied().collect();
        ids.into_iter().for_each(|id| self.shut(id, now));
        self.settle(now);
    }

    /// Refuses whoever still waits and ends every instance, busy or not.
    pub(crate) fn abandon(&mut self, now: Instant) {
        let ids: Vec<PoolId> = self.pools.keys().copied().collect();
        for id in ids {
            while let Some((_, waiter, _)) = self.pools.get_mut(&id).and_then(|pool| pool.queue.pop()) {
                self.dismiss(id, waiter, Dismissal::Refused(Refusal { why: Why::Stopping, retry_after: 1 }));
            }
            let seats = self.pools.get(&id).map(|pool| pool.crew.seats()).unwrap_or_default();
            seats.into_iter().for_each(|seat| self.retire(SlotId { pool: id, seat }, Ending::Replaced, now));
            self.review(id, now);
        }
    }
}
