//! A call arrives, waits, and leaves its queue without a permit.

use std::time::Instant;

use faas_types::ProjectId;

use super::capacity::Fit;
use super::counters::RefusalReason;
use super::fairness::PoolId;
use super::pool::{Pool, PoolKey};
use super::queue::{QueuePosition, Urgency};
use super::scaling::retry_after;
use super::{CallRefusal, Handles, Scheduler, WaiterId};

/// What becomes of a call that arrives.
pub(crate) enum Admission<H: Handles> {
    /// There is no such pool.
    UnknownPool,
    Granted(H::Instance),
    Queued(WaiterId),
    Refused(CallRefusal),
}

// === impl Scheduler ===

impl<H: Handles> Scheduler<H> {
    /// A call arrives. `waiter` is only called when it has to wait. `position` is where it waited in another pool before.
    pub(crate) fn admit(
        &mut self,
        key: &PoolKey,
        urgency: Urgency,
        position: Option<QueuePosition>,
        waiter: impl FnOnce() -> H::Waiter,
        now: Instant,
    ) -> Admission<H> {
        if self.stopping {
            return self.refuse(CallRefusal { reason: RefusalReason::Stopping, retry_after: 1 });
        }
        let Some(id) = self.open.get(key).copied() else { return Admission::UnknownPool };
        let Some(pool) = self.pools.get_mut(&id) else { return Admission::UnknownPool };
        if pool.queue.is_empty()
            && let Some(instance) = pool.instances.take()
        {
            pool.demand.note(pool.instances.in_use());
            return Admission::Granted(instance);
        }
        if let Some(refusal) = self.cannot_wait(id) {
            return self.refuse(refusal);
        }
        let position = position.unwrap_or_else(|| {
            self.positions += 1;
            QueuePosition::new(self.positions)
        });
        let Some(pool) = self.pools.get_mut(&id) else { return Admission::UnknownPool };
        pool.queue.push(position, urgency, waiter(), now);
        *self.waiting_by_project.entry(pool.limits.project).or_default() += 1;
        self.waiting += 1;
        self.update_demand(id, now);
        self.start_wanted(now);
        Admission::Queued(WaiterId { pool: id, position })
    }

    fn refuse(&mut self, refusal: CallRefusal) -> Admission<H> {
        self.counters.refused(refusal.reason);
        Admission::Refused(refusal)
    }

    /// Why a call cannot even wait. One project fills at most half of the node's queue, and less the more calls of others
    /// wait.
    fn cannot_wait(&self, id: PoolId) -> Option<CallRefusal> {
        let pool = self.pools.get(&id)?;
        let left = self.capacity.limits().waiting.saturating_sub(self.waiting);
        let own = self.waiting_by_project.get(&pool.limits.project).copied().unwrap_or(0);
        if pool.instances() == 0 && self.capacity.fits(pool.memory, true) == Fit::TooLarge {
            Some(CallRefusal { reason: RefusalReason::TooLarge, retry_after: 60 })
        } else if pool.queue.len() >= pool.limits.queue {
            Some(self.refusal(pool, id))
        } else if own >= left {
            let reason =
                if self.waiting_by_project.len() > 1 { RefusalReason::ShareFull } else { RefusalReason::NodeFull };
            Some(CallRefusal { reason, ..self.refusal(pool, id) })
        } else {
            None
        }
    }

    /// The refusal of a call that waits in vain.
    fn refusal(&self, pool: &Pool<H>, id: PoolId) -> CallRefusal {
        let slots = pool.instances.live().saturating_mul(pool.limits.concurrency);
        if pool.instances() >= pool.limits.max {
            let retry_after = retry_after(pool.waiting(), slots, pool.call.get());
            return CallRefusal { reason: RefusalReason::FunctionFull, retry_after };
        }
        let reason = if self.fairness.has_its_share(id) { RefusalReason::ShareFull } else { RefusalReason::NodeFull };
        CallRefusal { reason, retry_after: retry_after(self.waiting, self.capacity.used().instances, self.call.get()) }
    }

    /// The caller of a waiting call went away. No effect when the call has left its queue already.
    pub(crate) fn cancel(&mut self, id: WaiterId, now: Instant) {
        if self.dequeue(id).is_some() {
            self.update_demand(id.pool, now);
            self.start_wanted(now);
        }
    }

    /// The deadline of a waiting call has passed. `None` when the call has left its queue already.
    pub(crate) fn expire(&mut self, id: WaiterId, now: Instant) -> Option<CallRefusal> {
        let refusal = self.pools.get(&id.pool).map(|pool| self.refusal(pool, id.pool));
        self.dequeue(id)?;
        self.update_demand(id.pool, now);
        self.start_wanted(now);
        refusal.inspect(|refusal| self.counters.refused(refusal.reason))
    }

    fn dequeue(&mut self, id: WaiterId) -> Option<H::Waiter> {
        let pool = self.pools.get_mut(&id.pool)?;
        let waiter = pool.queue.remove(id.position)?;
        let project = pool.limits.project;
        self.count_dequeued(project);
        Some(waiter)
    }

    pub(super) fn count_dequeued(&mut self, project: ProjectId) {
        self.waiting -= 1;
        if let Some(count) = self.waiting_by_project.get_mut(&project) {
            *count -= 1;
            if *count == 0 {
                self.waiting_by_project.remove(&project);
            }
        }
    }
}
