//! The pure instance scheduler.
//!
//! A state machine without clock, input, output or threads: each event comes with the moment at which it happens and
//! leaves effects for [`SchedulerDriver`](crate::SchedulerDriver) to carry out. A seeded simulation drives it through
//! years of a node's life.

mod admission;
mod capacity;
mod counters;
mod fairness;
mod instances;
mod maintenance;
mod pool;
mod queue;
mod scale_up;
mod scaling;
#[cfg(test)]
mod simulation;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use faas_types::{FunctionId, ProjectId};

use capacity::{Capacity, Resources};
use fairness::FairShares;
use instances::InstanceIndex;
use pool::Pool;
use scaling::MovingAverage;

pub(crate) use admission::Admission;
pub use capacity::CapacityLimits;
pub(crate) use counters::StopReason;
pub use counters::{RefusalReason, SchedulerCounters};
pub(crate) use fairness::PoolId;
pub(crate) use pool::PoolLimits;
pub use pool::{PoolKey, PoolStatus};
pub use queue::{QueuePosition, Urgency};
pub use snapshot::{FunctionLoad, SchedulerSnapshot};

/// What the driver has behind a pool, an instance and a waiting call. The scheduler only hands them back.
pub(crate) trait Handles {
    type Pool: Clone;
    type Instance: Clone;
    type Waiter;
}

/// Every pool of this node and the capacity that they share.
pub(crate) struct Scheduler<H: Handles> {
    /// Ordered, so that the same events always have the same effects.
    pools: BTreeMap<PoolId, Pool<H>>,
    /// The pools that admit calls.
    open: HashMap<PoolKey, PoolId>,
    by_function: HashMap<FunctionId, Vec<PoolId>>,
    fairness: FairShares,
    capacity: Capacity,
    /// Memory of instances that were told to stop and still run.
    terminating: HashMap<InstanceRef, u64>,
    waiting: u32,
    waiting_by_project: HashMap<ProjectId, u32>,
    /// When to check whether a queue clears without another start.
    rechecks: BTreeSet<(Instant, PoolId)>,
    effects: Vec<Effect<H>>,
    counters: SchedulerCounters,
    call: MovingAverage,
    pools_made: u64,
    positions: u64,
    stopping: bool,
}

/// One instance. Never refers to another one, even after it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct InstanceRef {
    pub pool: PoolId,
    index: InstanceIndex,
}

/// A start that was ordered, with the capacity that was reserved for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StartReservation {
    pub pool: PoolId,
    /// Reserved bytes.
    memory: u64,
}

/// A call that waits in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct WaiterId {
    pub pool: PoolId,
    pub position: QueuePosition,
}

/// What the driver is to do.
pub(crate) enum Effect<H: Handles> {
    /// Give a waiting call its permit.
    Grant { waiter: H::Waiter, instance: H::Instance },
    /// Tell a waiting call that it gets no permit in this pool.
    Reject { waiter: H::Waiter, reason: Rejection },
    /// Start an instance.
    Start { pool: H::Pool, reservation: StartReservation },
    /// Stop an instance; gracefully when no call waits for its capacity and it can be trusted to stop by itself.
    Stop { instance: H::Instance, gracefully: bool },
    /// Measure the memory of an instance.
    Measure { instance: H::Instance },
}

/// Why a waiting call leaves its queue without a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// Its pool was closed. A newer pool can queue it at the same position.
    PoolClosed(QueuePosition),
    Refused(CallRefusal),
}

/// A call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRefusal {
    /// Why.
    pub reason: RefusalReason,
    /// Seconds after which a retry makes sense.
    pub retry_after: u32,
}

// === impl Scheduler ===

impl<H: Handles> Scheduler<H> {
    pub(crate) fn new(limits: CapacityLimits) -> Self {
        Self {
            pools: BTreeMap::new(),
            open: HashMap::new(),
            by_function: HashMap::new(),
            fairness: FairShares::new(Resources { instances: limits.instances, memory: limits.memory }),
            capacity: Capacity::new(limits),
            terminating: HashMap::new(),
            waiting: 0,
            waiting_by_project: HashMap::new(),
            rechecks: BTreeSet::new(),
            effects: Vec::new(),
            counters: SchedulerCounters::default(),
            call: MovingAverage::default(),
            pools_made: 0,
            positions: 0,
            stopping: false,
        }
    }

    /// Takes what the last events ask for.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect<H>> {
        std::mem::take(&mut self.effects)
    }

    /// Opens a pool unless it is open.
    pub(crate) fn open_pool(&mut self, key: PoolKey, limits: PoolLimits, spec: H::Pool, now: Instant) {
        if self.stopping || self.open.contains_key(&key) {
            return;
        }
        let id = PoolId(self.pools_made);
        self.pools_made += 1;
        self.fairness.add(id, limits.project);
        self.pools.insert(id, Pool::new(key, limits, spec, now));
        self.open.insert(key, id);
        self.by_function.entry(key.function).or_default().push(id);
        self.keep_minimum(id, now);
    }

    /// A call releases its permit after `took`. An instance that is not `fit` takes no other call.
    pub(crate) fn release(&mut self, instance: InstanceRef, took: Duration, fit: bool, now: Instant) {
        let InstanceRef { pool: id, index } = instance;
        let Some(pool) = self.pools.get_mut(&id) else { return };
        pool.call.add(took);
        self.call.add(took);
        if !fit {
            self.stop_instance(instance, StopReason::Unfit, now);
            return self.start_wanted(now);
        }
        let Some(is_idle) = pool.instances.give_back(index, now) else { return };
        if !pool.queue.is_empty() {
            if is_idle && self.must_preempt(instance, now) {
                self.stop_instance(instance, StopReason::Preempted, now);
                return self.start_wanted(now);
            }
            self.grant(id, now);
        } else if is_idle {
            if pool.closed {
                self.stop_instance(instance, StopReason::Replaced, now);
            } else {
                self.fairness.may_idle(id, true);
            }
            if self.fairness.has_claims() {
                self.start_wanted(now);
            }
        }
    }

    /// Grants free slots to waiting calls.
    fn grant(&mut self, id: PoolId, now: Instant) {
        while let Some(pool) = self.pools.get_mut(&id) {
            if pool.queue.is_empty() {
                break;
            }
            let Some(instance) = pool.instances.take() else { break };
            pool.demand.note(pool.instances.in_use());
            let Some((_, waiter, since)) = pool.queue.pop() else { break };
            let project = pool.limits.project;
            self.count_dequeued(project);
            self.counters.waits += 1;
            self.counters.waited += now.saturating_duration_since(since);
            self.effects.push(Effect::Grant { waiter, instance });
        }
        self.update_demand(id, now);
    }

    /// Updates how many starts a pool wants.
    fn update_demand(&mut self, id: PoolId, now: Instant) {
        let Some(pool) = self.pools.get_mut(&id) else { return };
        let claim = pool.update_demand(now);
        if pool.recheck_at.is_none()
            && let Some(at) = pool.next_recheck(now)
        {
            pool.recheck_at = Some(at);
            self.rechecks.insert((at, id));
        }
        self.fairness.claim(id, claim);
    }
}
