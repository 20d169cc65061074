//! Which call gets a place in which instance, and which instances start and end for it.
//!
//! A state machine without time, I/O or threads of its own: each event comes with the moment it happens at and leaves
//! effects for [`Usher`](crate::usher::Usher) to carry out. A seeded simulation drives it through years of a node's life.

mod crew;
mod decisions;
mod growth;
mod pool;
mod queue;
mod room;
mod scaling;
mod shares;
#[cfg(test)]
mod simulation;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use faas_types::{FunctionId, ProjectId};

use crew::Seat;
use pool::Pool;
use room::{Fit, Holding, Room};
use scaling::{Average, retry_after};
use shares::Shares;

pub use decisions::{Census, Decisions, FunctionCensus};
pub(crate) use decisions::{Ending, Why};
pub(crate) use pool::{PoolKey, Standing, Terms};
pub(crate) use queue::Turn;
pub use queue::Urgency;
pub(crate) use room::Limits;
pub(crate) use shares::PoolId;

/// What stands for a pool, an instance and a waiting call outside of the decisions.
pub(crate) trait Cast {
    type Pool: Clone;
    type Slot: Clone;
    type Waiter;
}

/// Every pool of this node and the room that they share.
pub(crate) struct Places<C: Cast> {
    /// Ordered, so that the same events always bring the same effects.
    pools: BTreeMap<PoolId, Pool<C>>,
    /// Pools that admit calls.
    open: HashMap<PoolKey, PoolId>,
    by_function: HashMap<FunctionId, Vec<PoolId>>,
    shares: Shares,
    room: Room,
    /// Memory of instances that were told to end.
    leaving: HashMap<SlotId, u64>,
    waiting: u32,
    waiting_by_project: HashMap<ProjectId, u32>,
    /// When to doubt that a queue clears by itself.
    alarms: BTreeSet<(Instant, PoolId)>,
    effects: Vec<Effect<C>>,
    decisions: Decisions,
    call: Average,
    pools_made: u64,
    turns: u64,
    stopping: bool,
}

/// One instance, from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SlotId {
    pub pool: PoolId,
    seat: Seat,
}

/// One start that was ordered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub pool: PoolId,
    /// Bytes reserved for it.
    memory: u64,
}

/// One call that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ticket {
    pub pool: PoolId,
    pub turn: Turn,
}

/// What is to be done.
pub(crate) enum Effect<C: Cast> {
    /// A waiting call gets its place.
    Serve { waiter: C::Waiter, slot: C::Slot },
    /// A waiting call gets none in this pool.
    Dismiss { waiter: C::Waiter, why: Dismissal },
    /// An instance starts.
    Start { pool: C::Pool, start: Start },
    /// An instance ends; gently when nobody waits for its room and it can be trusted to end by itself.
    Stop { slot: C::Slot, gently: bool },
    /// An instance's memory is to be looked at.
    Measure { slot: C::Slot },
}

/// Why a waiting call got no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dismissal {
    /// Its pool is closed: a newer one may take it, in its turn.
    Closed(Turn),
    Refused(Refusal),
}

/// A call cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub why: Why,
    /// Seconds after which another try makes sense.
    pub retry_after: u32,
}

/// What becomes of an arriving call.
pub(crate) enum Arrival<C: Cast> {
    /// There is no such pool.
    Unknown,
    Taken(C::Slot),
    Waits(Ticket),
    Refused(Refusal),
}

// === impl Places ===

impl<C: Cast> Places<C> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            pools: BTreeMap::new(),
            open: HashMap::new(),
            by_function: HashMap::new(),
            shares: Shares::new(Holding { instances: limits.instances, memory: limits.memory }),
            room: Room::new(limits),
            leaving: HashMap::new(),
            waiting: 0,
            waiting_by_project: HashMap::new(),
            alarms: BTreeSet::new(),
            effects: Vec::new(),
            decisions: Decisions::default(),
            call: Average::default(),
            pools_made: 0,
            turns: 0,
            stopping: false,
        }
    }

    /// What the last events ask for.
    pub(crate) fn effects(&mut self) -> Vec<Effect<C>> {
        std::mem::take(&mut self.effects)
    }

    /// Makes a pool unless there is one.
    pub(crate) fn open(&mut self, key: PoolKey, terms: Terms, spec: C::Pool, now: Instant) {
        if self.stopping || self.open.contains_key(&key) {
            return;
        }
        let id = PoolId(self.pools_made);
        self.pools_made += 1;
        self.shares.join(id, terms.project);
        self.pools.insert(id, Pool::new(key, terms, spec, now));
        self.open.insert(key, id);
        self.by_function.entry(key.function).or_default().push(id);
        self.keep_minimum(id, now);
    }

    /// The functions that have pools.
    pub(crate) fn functions(&self) -> Vec<FunctionId> {
        self.by_function.keys().copied().collect()
    }

    /// The versions that a function has pools of.
    pub(crate) fn versions_of(&self, function: FunctionId) -> BTreeSet<u32> {
        let ids = self.by_function.get(&function).into_iter().flatten();
        ids.filter_map(|id| self.pools.get(id)).map(|pool| pool.key.version).collect()
    }

    /// A call comes. `waiter` is only made when it has to wait; `turn` is what it waited with in another pool before.
    pub(crate) fn arrive(
        &mut self,
        key: &PoolKey,
        urgency: Urgency,
        turn: Option<Turn>,
        waiter: impl FnOnce() -> C::Waiter,
        now: Instant,
    ) -> Arrival<C> {
        if self.stopping {
            return self.refuse(Refusal { why: Why::Stopping, retry_after: 1 });
        }
        let Some(id) = self.open.get(key).copied() else { return Arrival::Unknown };
        let Some(pool) = self.pools.get_mut(&id) else { return Arrival::Unknown };
        if pool.queue.is_empty()
            && let Some(slot) = pool.crew.take()
        {
            pool.demand.note(pool.crew.in_use());
            return Arrival::Taken(slot);
        }
        if let Some(refusal) = self.cannot_wait(id) {
            return self.refuse(refusal);
        }
        let turn = turn.unwrap_or_else(|| {
            self.turns += 1;
            Turn(self.turns)
        });
        let Some(pool) = self.pools.get_mut(&id) else { return Arrival::Unknown };
        pool.queue.push(turn, urgency, waiter(), now);
        *self.waiting_by_project.entry(pool.terms.project).or_default() += 1;
        self.waiting += 1;
        self.review(id, now);
        self.settle(now);
        Arrival::Waits(Ticket { pool: id, turn })
    }

    fn refuse(&mut self, refusal: Refusal) -> Arrival<C> {
        self.decisions.refused(refusal.why);
        Arrival::Refused(refusal)
    }

    /// Why a call cannot even wait. All calls together fill half of the node's queue at the most for one project; the
    /// more others wait, the less.
    fn cannot_wait(&self, id: PoolId) -> Option<Refusal> {
        let pool = self.pools.get(&id)?;
        let left = self.room.limits().waiting.saturating_sub(self.waiting);
        let own = self.waiting_by_project.get(&pool.terms.project).copied().unwrap_or(0);
        if pool.instances() == 0 && self.room.fits(pool.memory, true) == Fit::Never {
            Some(Refusal { why: Why::TooLarge, retry_after: 60 })
        } else if pool.queue.len() >= pool.terms.queue {
            Some(self.refusal(pool, id))
        } else if own >= left {
            let why = if self.waiting_by_project.len() > 1 { Why::ShareFull } else { Why::NodeFull };
            Some(Refusal { why, ..self.refusal(pool, id) })
        } else {
            None
        }
    }

    /// What a call hears that waits in vain.
    fn refusal(&self, pool: &Pool<C>, id: PoolId) -> Refusal {
        let places = pool.crew.live().saturating_mul(pool.terms.concurrency);
        if pool.instances() >= pool.terms.max {
            let retry_after = retry_after(pool.waiting(), places, pool.call.get());
            return Refusal { why: Why::FunctionFull, retry_after };
        }
        let why = if self.shares.has_its_share(id) { Why::ShareFull } else { Why::NodeFull };
        Refusal { why, retry_after: retry_after(self.waiting, self.room.taken().instances, self.call.get()) }
    }

    /// A waiting call's caller went away. Nothing happens when it was served or dismissed already.
    pub(crate) fn leave(&mut self, ticket: Ticket, now: Instant) {
        if self.unqueue(ticket).is_some() {
            self.review(ticket.pool, now);
            self.settle(now);
        }
    }

    /// A waiting call's deadline has come. `None` when it was served or dismissed already.
    pub(crate) fn expire(&mut self, ticket: Ticket, now: Instant) -> Option<Refusal> {
        let refusal = self.pools.get(&ticket.pool).map(|pool| self.refusal(pool, ticket.pool));
        self.unqueue(ticket)?;
        self.review(ticket.pool, now);
        self.settle(now);
        refusal.inspect(|refusal| self.decisions.refused(refusal.why))
    }

    fn unqueue(&mut self, ticket: Ticket) -> Option<C::Waiter> {
        let pool = self.pools.get_mut(&ticket.pool)?;
        let waiter = pool.queue.remove(ticket.turn)?;
        let project = pool.terms.project;
        self.count_out(project);
        Some(waiter)
    }

    fn count_out(&mut self, project: ProjectId) {
        self.waiting -= 1;
        if let Some(count) = self.waiting_by_project.get_mut(&project) {
            *count -= 1;
            if *count == 0 {
                self.waiting_by_project.remove(&project);
            }
        }
    }

    /// A call gives its place back after `took`. `fit` tells whether the instance may take another.
    pub(crate) fn release(&mut self, slot: SlotId, took: Duration, fit: bool, now: Instant) {
        let SlotId { pool: id, seat } = slot;
        let Some(pool) = self.pools.get_mut(&id) else { return };
        pool.call.add(took);
        self.call.add(took);
        if !fit {
            self.retire(slot, Ending::Spoiled, now);
            return self.settle(now);
        }
        let Some(is_idle) = pool.crew.give_back(seat, now) else { return };
        if !pool.queue.is_empty() {
            if is_idle && self.must_yield(slot, now) {
                self.retire(slot, Ending::Yielded, now);
                return self.settle(now);
            }
            self.serve(id, now);
        } else if is_idle {
            if pool.closed {
                self.retire(slot, Ending::Replaced, now);
            } else {
                self.shares.may_idle(id, true);
            }
            if self.shares.has_claims() {
                self.settle(now);
            }
        }
    }

    /// Gives free places to those who wait.
    fn serve(&mut self, id: PoolId, now: Instant) {
        while let Some(pool) = self.pools.get_mut(&id) {
            if pool.queue.is_empty() {
                break;
            }
            let Some(slot) = pool.crew.take() else { break };
            pool.demand.note(pool.crew.in_use());
            let Some((_, waiter, since)) = pool.queue.pop() else { break };
            let project = pool.terms.project;
            self.count_out(project);
            self.decisions.waits += 1;
            self.decisions.waited += now.saturating_duration_since(since);
            self.effects.push(Effect::Serve { waiter, slot });
        }
        self.review(id, now);
    }

    /// Takes in how many starts a pool wants now.
    fn review(&mut self, id: PoolId, now: Instant) {
        let Some(pool) = self.pools.get_mut(&id) else { return };
        let claim = pool.review(now);
        if pool.alarm.is_none()
            && let Some(at) = pool.doubt(now)
        {
            pool.alarm = Some(at);
            self.alarms.insert((at, id));
        }
        self.shares.claim(id, claim);
    }

    /// How things stand.
    pub(crate) fn census(&self) -> Census {
        let mut functions = BTreeMap::<FunctionId, FunctionCensus>::new();
        for pool in self.pools.values().filter(|pool| !pool.is_empty()) {
            functions.entry(pool.key.function).or_default().add(FunctionCensus {
                starting: pool.starting,
                busy: pool.crew.in_use(),
                idle: pool.crew.idle(),
                waiting: pool.waiting(),
            });
        }
        Census {
            functions,
            instances: self.room.taken().instances,
            starting: self.room.starting(),
            leaving: self.room.leaving(),
            memory: self.room.taken().memory,
            memory_max: self.room.limits().memory,
            waiting: self.waiting,
            decisions: self.decisions.clone(),
        }
    }

    /// Starting, serving and leaving instances.
    pub(crate) fn instances(&self) -> u32 {
        self.room.taken().instances
    }

    /// The versions of a function that have an instance or a waiting call.
    pub(crate) fn versions_in_use(&self, function: FunctionId) -> Vec<u32> {
        let pools = self.by_function.get(&function).into_iter().flatten().filter_map(|id| self.pools.get(id));
        pools.filter(|pool| !pool.is_empty()).map(|pool| pool.key.version).collect()
    }

    /// Starting and serving instances of a function.
    pub(crate) fn instances_of(&self, function: FunctionId) -> u32 {
        let pools = self.by_function.get(&function).into_iter().flatten();
        pools.filter_map(|id| self.pools.get(id)).map(Pool::instances).sum()
    }
}
