//! One simulated node and its callers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::time::{Duration, Instant};

use faas_types::{FunctionId, ProjectId};

use crate::scheduler::{
    Admission, CapacityLimits, Effect, Handles, InstanceRef, PoolKey, PoolLimits, PoolStatus, QueuePosition,
    RefusalReason, Rejection, Scheduler, StartReservation, StopReason, Urgency, WaiterId,
};

pub(super) const SECOND: u64 = 1_000_000;
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Numbers instead of things: a pool is the number of its function, a waiter that of its call.
pub(super) struct SimulatedHandles;

impl Handles for SimulatedHandles {
    type Pool = usize;
    type Instance = (usize, InstanceRef);
    type Waiter = u64;
}

/// A function of the simulated node.
pub(super) struct Function {
    pub limits: PoolLimits,
    pub version: u32,
    /// Microseconds of a typical call.
    pub call: u64,
    /// Microseconds between two arrivals, and how many come at once.
    pub every: u64,
    pub burst: u64,
}

/// The parameters of a life; times in microseconds.
pub(super) struct Plan {
    pub random: Random,
    pub limits: CapacityLimits,
    pub functions: Vec<Function>,
    pub until: u64,
    pub start: u64,
    pub patience: u64,
    pub trouble: bool,
}

/// SplitMix64.
pub(super) struct Random(pub u64);

#[derive(Clone, Copy, Debug)]
enum Event {
    Arrive(usize),
    Expire(u64),
    GoAway(u64),
    CallEnds { instance: InstanceRef, took: u64, fit: bool },
    Started { function: usize, reservation: StartReservation, took: u64 },
    StartFails(StartReservation),
    Gone(InstanceRef),
    Deploy(usize),
    Tick,
}

/// A call that waits.
struct Waiting {
    function: usize,
    id: WaiterId,
    urgency: Urgency,
    deadline: u64,
}

/// The node and its callers.
pub(super) struct World {
    pub plan: Plan,
    pub scheduler: Scheduler<SimulatedHandles>,
    pub now: u64,
    origin: Instant,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    bodies: HashMap<u64, Event>,
    sequence: u64,
    calls: u64,
    waiting: BTreeMap<u64, Waiting>,
    /// Instances that exist: serving and terminating ones.
    alive: HashMap<InstanceRef, usize>,
    starting: u32,
    queued: u64,
    pub served: Vec<u64>,
    /// When each function was last served.
    pub last_served: Vec<u64>,
    pub history: Vec<(u64, &'static str, u64)>,
}

// === impl Random ===

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn range(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from + 1)
    }

    pub(super) fn count(&mut self, from: u32, to: u32) -> u32 {
        u32::try_from(self.range(from.into(), to.into())).unwrap_or(to)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.range(1, 100) <= percent
    }
}

// === impl Plan ===

impl Plan {
    pub(super) fn random(seed: u64) -> Self {
        let mut random = Random(seed);
        let limits = CapacityLimits {
            instances: random.count(1, 24),
            memory: random.range(64, 2_000),
            starts: random.count(1, 8),
            waiting: random.count(4, 120),
        };
        let functions = (0..random.range(1, 7)).map(|_| Function::random(&mut random)).collect();
        Self {
            limits,
            functions,
            until: random.range(2, 12) * SECOND,
            start: random.range(500, 80_000),
            patience: random.range(1, 40) * SECOND / 10,
            trouble: random.chance(60),
            random,
        }
    }
}

// === impl Function ===

impl Function {
    fn random(random: &mut Random) -> Self {
        let max = random.count(1, 20);
        let limits = PoolLimits {
            project: ProjectId::from_u128(random.range(1, 4).into()),
            min: if random.chance(20) { random.count(1, max) } else { 0 },
            max,
            concurrency: if random.chance(30) { random.count(2, 8) } else { 1 },
            memory: random.range(1, 80),
            queue: usize::try_from(random.range(1, 60)).unwrap_or(1),
        };
        let call = [200, 2_000, 20_000, 400_000][usize::try_from(random.range(0, 3)).unwrap_or(0)];
        let burst = if random.chance(25) { random.range(2, 30) } else { 1 };
        let every = random.range(20_000, 600_000) * burst;
        Self { limits, version: 1, call, every, burst }
    }
}

// === impl World ===

impl World {
    pub(super) fn new(plan: Plan) -> Self {
        let mut world = Self {
            scheduler: Scheduler::new(plan.limits),
            now: 0,
            origin: Instant::now(),
            events: BinaryHeap::new(),
            bodies: HashMap::new(),
            sequence: 0,
            calls: 0,
            waiting: BTreeMap::new(),
            alive: HashMap::new(),
            starting: 0,
            queued: 0,
            served: vec![0; plan.functions.len()],
            last_served: vec![0; plan.functions.len()],
            history: Vec::new(),
            plan,
        };
        for function in 0..world.plan.functions.len() {
            let first = world.plan.random.range(0, world.plan.functions[function].every);
            world.at(first, Event::Arrive(function));
            if world.plan.trouble {
                let when = world.plan.random.range(0, world.plan.until);
                world.at(when, Event::Deploy(function));
            }
        }
        world.at(100_000, Event::Tick);
        world
    }

    fn at(&mut self, when: u64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((when, self.sequence)));
        self.bodies.insert(self.sequence, event);
    }

    fn after(&mut self, span: u64, event: Event) {
        self.at(self.now + span, event);
    }

    fn instant(&self) -> Instant {
        self.origin + Duration::from_micros(self.now)
    }

    /// Lives until arrivals end.
    pub(super) fn live(&mut self) {
        while self.now < self.plan.until {
            self.step();
        }
    }

    /// Runs until everything has ended. Minimums are no longer kept.
    pub(super) fn end(&mut self) {
        let last = self.plan.until + self.plan.patience + 60 * SECOND;
        while !(self.scheduler.is_empty() && self.alive.is_empty()) {
            assert!(self.now < last, "not yet empty: {} instances, {} wait", self.alive.len(), self.waiting.len());
            self.step();
        }
        let snapshot = self.scheduler.snapshot();
        assert_eq!((snapshot.instances, snapshot.starting, snapshot.terminating, snapshot.memory), (0, 0, 0, 0));
        assert!(self.waiting.is_empty() && self.scheduler.next_recheck().is_none());
        let counters = snapshot.counters;
        let minimums: u64 = self.plan.functions.iter().map(|function| u64::from(function.limits.min)).sum();
        // A minimum is started again when it crashed or its room was taken; each such loss is counted.
        let lost: u64 =
            counters.stops().filter(|(reason, _)| *reason != StopReason::NAMES[0]).map(|(_, count)| count).sum();
        let allowed = self.queued + minimums * 3 + lost + counters.failed_starts;
        assert!(counters.starts <= allowed, "{} starts for {} calls that waited", counters.starts, self.queued);
        let preempted = counters.stops().find(|(reason, _)| *reason == "preempted").map_or(0, |(_, count)| count);
        let most = u64::from(self.plan.limits.instances) * (self.now / SECOND + 1);
        assert!(preempted <= most, "{preempted} instances were preempted in {} s", self.now / SECOND);
    }

    pub(super) fn step(&mut self) {
        let next = self.events.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
        let recheck = self.scheduler.next_recheck().map(|at| at.saturating_duration_since(self.origin).as_micros());
        let recheck = recheck.and_then(|at| u64::try_from(at).ok()).unwrap_or(u64::MAX);
        if recheck < next {
            self.now = self.now.max(recheck + 1);
            self.scheduler.recheck(self.instant());
        } else if let Some(Reverse((at, key))) = self.events.pop() {
            self.now = self.now.max(at);
            if let Some(event) = self.bodies.remove(&key) {
                self.happen(event);
            }
        }
        self.carry_out();
        self.check();
    }

    fn happen(&mut self, event: Event) {
        let now = self.instant();
        match event {
            Event::Arrive(function) => self.arrivals(function),
            Event::Expire(call) => {
                let Some(waiting) = self.waiting.remove(&call) else { return };
                assert_eq!(waiting.deadline, self.now);
                assert!(self.scheduler.expire(waiting.id, now).is_some(), "call {call} was lost in its queue");
                self.history.push((self.now, "expired", call));
            }
            Event::GoAway(call) => {
                if let Some(waiting) = self.waiting.remove(&call) {
                    self.scheduler.cancel(waiting.id, now);
                }
            }
            Event::CallEnds { instance, took, fit } => {
                self.scheduler.release(instance, Duration::from_micros(took), fit, now);
            }
            Event::Started { function, reservation, took } => self.started(function, reservation, took),
            Event::StartFails(reservation) => {
                self.starting -= 1;
                if let Some(call) = self.scheduler.failed(reservation, now) {
                    assert!(self.waiting.remove(&call).is_some(), "call {call} was answered twice");
                }
            }
            Event::Gone(instance) => {
                if self.alive.remove(&instance).is_some() {
                    self.scheduler.exited(instance, now);
                }
            }
            Event::Deploy(function) => {
                self.plan.functions[function].version += 1;
                let version = self.plan.functions[function].version;
                self.scheduler.close_pools(id(function), now, |key| key.version == version);
            }
            Event::Tick => {
                let is_over = self.now >= self.plan.until;
                let versions: Vec<u32> = self.plan.functions.iter().map(|function| function.version).collect();
                self.scheduler.maintain(now, IDLE_TIMEOUT, |key| match versions.get(number(key.function)) {
                    Some(version) if *version != key.version => PoolStatus::Outdated,
                    _ if is_over => PoolStatus::Reachable,
                    _ => PoolStatus::Live,
                });
                self.after(100_000, Event::Tick);
            }
        }
    }

    fn arrivals(&mut self, function: usize) {
        if self.now >= self.plan.until {
            return;
        }
        let Function { every, burst, .. } = self.plan.functions[function];
        for _ in 0..burst {
            self.calls += 1;
            let urgency = if self.plan.random.chance(20) { Urgency::Background } else { Urgency::Caller };
            let deadline = self.now + self.plan.patience;
            self.ask(self.calls, function, urgency, None, deadline);
            self.carry_out();
        }
        let pause = self.plan.random.range(every / 4, every * 7 / 4);
        self.after(pause, Event::Arrive(function));
    }

    fn ask(&mut self, call: u64, function: usize, urgency: Urgency, position: Option<QueuePosition>, deadline: u64) {
        let now = self.instant();
        let Function { limits, version, .. } = self.plan.functions[function];
        let key = PoolKey { function: id(function), version, stage: faas_types::Stage::Prod, vars: 0 };
        self.scheduler.open_pool(key, limits, function, now);
        match self.scheduler.admit(&key, urgency, position, || call, now) {
            Admission::Granted(instance) => self.serve(call, function, instance.1),
            Admission::Queued(id) => {
                self.queued += 1;
                self.waiting.insert(call, Waiting { function, id, urgency, deadline });
                if position.is_none() {
                    self.at(deadline, Event::Expire(call));
                    if self.plan.trouble && self.plan.random.chance(5) {
                        let patience = self.plan.random.range(0, self.plan.patience);
                        self.after(patience, Event::GoAway(call));
                    }
                }
            }
            Admission::Refused(refusal) => {
                assert!((1..=60).contains(&refusal.retry_after) && refusal.reason != RefusalReason::Stopping);
                self.history.push((self.now, "refused", call));
            }
            Admission::UnknownPool => panic!("a pool that was just opened does not exist"),
        }
    }

    fn serve(&mut self, call: u64, function: usize, instance: InstanceRef) {
        assert!(self.alive.contains_key(&instance), "call {call} got an instance that has ended");
        self.history.push((self.now, "served", call));
        self.served[function] += 1;
        self.last_served[function] = self.now;
        let typical = self.plan.functions[function].call;
        let took = self.plan.random.range(typical / 2, typical * 3 / 2);
        let took = if self.plan.random.chance(3) { took * 10 } else { took };
        let fit = !(self.plan.trouble && self.plan.random.chance(2));
        if self.plan.trouble && self.plan.random.chance(1) {
            self.after(took / 2, Event::Gone(instance));
        }
        self.after(took, Event::CallEnds { instance, took, fit });
    }

    fn started(&mut self, function: usize, reservation: StartReservation, took: u64) {
        self.starting -= 1;
        let limit = self.plan.functions[function].limits.memory;
        let memory = self.plan.random.range(1, limit);
        let concurrency = self.plan.functions[function].limits.concurrency;
        let (now, mut made) = (self.instant(), None);
        let instance = |id| (function, *made.insert(id));
        self.scheduler.started(reservation, concurrency, Some(memory), Duration::from_micros(took), instance, now);
        let made = made.expect("a pool stays while it starts something");
        self.alive.insert(made, function);
    }

    pub(super) fn carry_out(&mut self) {
        loop {
            let effects = self.scheduler.take_effects();
            if effects.is_empty() {
                return;
            }
            effects.iter().for_each(|effect| self.effect(effect));
        }
    }

    fn effect(&mut self, effect: &Effect<SimulatedHandles>) {
        match *effect {
            Effect::Grant { waiter, instance } => {
                let waiting = self.waiting.remove(&waiter).expect("only a waiting call is served");
                let is_older = |other: &&Waiting| {
                    other.id.pool == waiting.id.pool
                        && other.urgency == waiting.urgency
                        && other.id.position < waiting.id.position
                };
                assert!(self.now <= waiting.deadline, "call {waiter} was served too late");
                assert!(self.waiting.values().find(is_older).is_none(), "call {waiter} overtook an older one");
                self.serve(waiter, waiting.function, instance.1);
            }
            Effect::Reject { waiter, reason } => {
                let waiting = self.waiting.remove(&waiter).expect("only a waiting call is rejected");
                if let Rejection::PoolClosed(position) = reason {
                    self.ask(waiter, waiting.function, waiting.urgency, Some(position), waiting.deadline);
                }
            }
            Effect::Start { pool, reservation } => {
                self.starting += 1;
                let took = self.plan.random.range(self.plan.start / 2, self.plan.start * 2);
                let fails = self.plan.trouble && self.plan.random.chance(3);
                let end = if fails {
                    Event::StartFails(reservation)
                } else {
                    Event::Started { function: pool, reservation, took }
                };
                self.after(took, end);
            }
            Effect::Stop { instance, .. } => {
                let span = self.plan.random.range(100, 3_000);
                self.after(span, Event::Gone(instance.1));
            }
            Effect::Measure { instance: (function, id) } => {
                let limit = self.plan.functions[function].limits.memory;
                let memory = self.plan.random.range(1, limit);
                self.scheduler.measured(id, memory);
            }
        }
    }

    fn check(&self) {
        let CapacityLimits { instances, starts, waiting, .. } = self.plan.limits;
        let exist = u32::try_from(self.alive.len()).unwrap_or(u32::MAX) + self.starting;
        assert!(exist <= instances, "{exist} instances with a limit of {instances}");
        assert!(self.starting <= starts, "{} start at once", self.starting);
        assert!(self.waiting.len() <= waiting as usize, "{} wait", self.waiting.len());
        assert_eq!(self.scheduler.instances(), exist);
        assert_eq!(self.scheduler.waiting as usize, self.waiting.len());
        for pool in self.scheduler.pools.values() {
            assert!(
                pool.instances() <= pool.limits.max,
                "{} instances of at most {}",
                pool.instances(),
                pool.limits.max
            );
            assert!(pool.queue.len() <= pool.limits.queue);
            assert!(pool.queue.is_empty() || pool.instances.idle() == 0, "a call waits beside an idle instance");
        }
    }

    /// Starting and serving instances of each project.
    pub(super) fn holdings(&self) -> BTreeMap<u128, u32> {
        let mut held = BTreeMap::new();
        for pool in self.scheduler.pools.values() {
            *held.entry(pool.limits.project.as_u128()).or_default() += pool.instances();
        }
        held
    }
}

fn id(function: usize) -> FunctionId {
    FunctionId::from_u128(function as u128)
}

fn number(id: FunctionId) -> usize {
    usize::try_from(id.as_u128()).unwrap_or(usize::MAX)
}
