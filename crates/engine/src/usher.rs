//! Carries out what [`Places`] decides: hands out places, starts and stops instances, and keeps the time.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use faas_ports::{Clock, IdSource, InstanceLogs, Launched, Launcher};
use faas_telemetry::{Recorder, Stats};
use faas_types::{Fault, FunctionId};
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio_util::task::TaskTracker;

use crate::place::Place;
use crate::places::{
    Arrival, Cast, Census, Dismissal, Effect, Limits, Places, PoolKey, Refusal, SlotId, Standing, Start, Ticket, Turn,
    Urgency,
};
use crate::pool::PoolSpec;
use crate::slot::{AtRest, Slot};

/// How long calls that share an instance may take to end once it was retired.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long an instance that is no longer needed has to run what its code registered for the end.
const GRACE: Duration = Duration::from_secs(2);
/// How often it is looked at whether somebody waits for the room of one that leaves.
const PRESSURE_ROUND: Duration = Duration::from_millis(20);
/// What a stopping server keeps of its patience for the instances that do not end by themselves.
const RESERVE: Duration = Duration::from_millis(500);

/// The real things behind the decisions.
pub(crate) struct House;

impl Cast for House {
    type Pool = Arc<PoolSpec>;
    type Slot = Arc<Slot>;
    type Waiter = oneshot::Sender<Result<Place, NoPlace>>;
}

/// What an usher needs of the world.
pub(crate) struct UsherDeps {
    pub launcher: Arc<dyn Launcher>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdSource>,
    pub recorder: Recorder,
    pub stats: Arc<Stats>,
    pub tasks: TaskTracker,
}

/// Every place of this node.
pub(crate) struct Usher {
    deps: UsherDeps,
    state: Mutex<State>,
    /// There is more to keep the time for.
    news: Notify,
    /// When the instances of a stopping server must go at once.
    end: OnceLock<Instant>,
}

struct State {
    places: Places<House>,
    /// What the timekeeper knows of.
    quiet: bool,
    alarm: Option<Instant>,
}

/// Why there is no place.
pub(crate) enum NoPlace {
    /// There is no such pool; the caller can open it.
    Unknown,
    /// The pool was closed meanwhile: a newer version or newer vars took over. Another pool takes the call in its turn.
    Closed(Turn),
    /// The call cannot be served now.
    Refused(Refusal),
    /// The instance that it waited for did not start.
    Failed(Fault),
}

/// A call in a queue. Dropping it leaves the queue.
struct Waiting<'a> {
    usher: &'a Arc<Usher>,
    ticket: Ticket,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.usher.act(|places, now| places.leave(self.ticket, now));
    }
}

// === impl Usher ===

impl Usher {
    pub(crate) fn new(limits: Limits, deps: UsherDeps) -> Arc<Self> {
        let state = State { places: Places::new(limits), quiet: true, alarm: None };
        Arc::new(Self { deps, state: Mutex::new(state), news: Notify::new(), end: OnceLock::new() })
    }

    /// Lets something happen and carries out what follows from it, after the lock is released.
    fn act<T>(self: &Arc<Self>, event: impl FnOnce(&mut Places<House>, Instant) -> T) -> T {
        let (outcome, effects) = {
            let mut state = self.state.lock();
            let outcome = event(&mut state.places, Instant::now());
            let alarm = state.places.next_alarm();
            let sooner = alarm.is_some_and(|at| state.alarm.is_none_or(|known| at < known));
            if sooner || (state.quiet && !state.places.is_quiet()) {
                (state.alarm, state.quiet) = (alarm, false);
                self.news.notify_one();
            }
            (outcome, state.places.effects())
        };
        effects.into_iter().for_each(|effect| self.carry_out(effect));
        outcome
    }

    /// A place in an instance: an idle one, or the next that is free or started before `deadline`.
    pub(crate) async fn take(
        self: &Arc<Self>,
        key: &PoolKey,
        urgency: Urgency,
        turn: Option<Turn>,
        deadline: Instant,
    ) -> Result<Place, NoPlace> {
        let mut receiver = None;
        let waiter = || {
            let (sender, wait) = oneshot::channel();
            receiver = Some(wait);
            sender
        };
        let ticket = match self.act(|places, now| places.arrive(key, urgency, turn, waiter, now)) {
            Arrival::Taken(slot) => return Ok(Place::new(Arc::clone(self), slot)),
            Arrival::Unknown => return Err(NoPlace::Unknown),
            Arrival::Refused(refusal) => return Err(NoPlace::Refused(refusal)),
            Arrival::Waits(ticket) => ticket,
        };
        let Some(mut receiver) = receiver else { return Err(NoPlace::Unknown) };
        let waiting = Waiting { usher: self, ticket };
        if let Ok(answer) = tokio::time::timeout_at(deadline.into(), &mut receiver).await {
            return answer.unwrap_or(Err(NoPlace::Unknown));
        }
        match self.act(|places, now| places.expire(waiting.ticket, now)) {
            Some(refusal) => Err(NoPlace::Refused(refusal)),
            // Served at the last moment: the answer is on its way already.
            None => receiver.await.unwrap_or(Err(NoPlace::Unknown)),
        }
    }

    pub(crate) fn give_back(self: &Arc<Self>, slot: SlotId, took: Duration, fit: bool) {
        self.act(|places, now| places.release(slot, took, fit, now));
    }

    pub(crate) fn open(self: &Arc<Self>, key: PoolKey, spec: PoolSpec) {
        self.act(|places, now| places.open(key, spec.terms(), Arc::new(spec), now));
    }

    /// The functions that have pools.
    pub(crate) fn functions(&self) -> Vec<FunctionId> {
        self.state.lock().places.functions()
    }

    /// The versions that a function has pools of.
    pub(crate) fn versions_of(&self, function: FunctionId) -> BTreeSet<u32> {
        self.state.lock().places.versions_of(function)
    }

    /// Closes the pools of a function that `keep` does not want.
    pub(crate) fn close(self: &Arc<Self>, function: FunctionId, keep: impl Fn(&PoolKey) -> bool) {
        self.act(|places, now| places.close(function, now, keep));
    }

    /// Takes no more calls. Those that wait are still served.
    pub(crate) fn stop(self: &Arc<Self>, patience: Duration) {
        let _ = self.end.set(Instant::now() + patience.saturating_sub(RESERVE));
        self.act(Places::stop);
    }

    /// Refuses whoever still waits and ends every instance, busy or not.
    pub(crate) fn abandon(self: &Arc<Self>) {
        self.act(Places::abandon);
    }

    pub(crate) fn census(&self) -> Census {
        self.state.lock().places.census()
    }

    /// Starting, serving and leaving instances.
    pub(crate) fn instances(&self) -> u32 {
        self.state.lock().places.instances()
    }

    /// The versions of a function that have an instance or a waiting call.
    pub(crate) fn versions_in_use(&self, function: FunctionId) -> Vec<u32> {
        self.state.lock().places.versions_in_use(function)
    }

    pub(crate) fn instances_of(&self, function: FunctionId) -> u32 {
        self.state.lock().places.instances_of(function)
    }

    /// Keeps the time until dropped. Sleeps without a wake-up while nothing runs and nobody waits.
    pub(crate) async fn keep_time(
        self: Arc<Self>,
        every: Duration,
        idle_timeout: Duration,
        standing: impl Fn(&PoolKey) -> Standing,
    ) {
        let mut next = Instant::now() + every;
        loop {
            let (quiet, alarm) = {
                let mut state = self.state.lock();
                state.quiet = state.places.is_quiet();
                state.alarm = state.places.next_alarm();
                (state.quiet, state.alarm)
            };
            let due = alarm.map_or(next, |alarm| alarm.min(next));
            tokio::select! {
                () = self.news.notified() => {}
                () = tokio::time::sleep_until(due.into()), if !quiet => {
                    self.act(Places::wake);
                    if Instant::now() >= next {
                        self.act(|places, now| places.tend(now, idle_timeout, &standing));
                        next = Instant::now() + every;
                    }
                }
            }
        }
    }

    fn carry_out(self: &Arc<Self>, effect: Effect<House>) {
        match effect {
            // A caller that went away meanwhile gives the place back by dropping it.
            Effect::Serve { waiter, slot } => drop(waiter.send(Ok(Place::new(Arc::clone(self), slot)))),
            Effect::Dismiss { waiter, why } => {
                let why = match why {
                    Dismissal::Closed(turn) => NoPlace::Closed(turn),
                    Dismissal::Refused(refusal) => NoPlace::Refused(refusal),
                };
                drop(waiter.send(Err(why)));
            }
            Effect::Start { pool, start } => self.start(pool, start),
            Effect::Stop { slot, gently } => self.end(slot, gently),
            Effect::Measure { slot } => {
                if let Some(memory) = slot.instance.usage().peak_memory_bytes {
                    self.act(|places, _| places.measured(slot.id, memory));
                }
            }
        }
    }

    fn start(self: &Arc<Self>, pool: Arc<PoolSpec>, start: Start) {
        let usher = Arc::clone(self);
        self.deps.tasks.spawn(async move {
            let begun = Instant::now();
            let UsherDeps { launcher, clock, ids, .. } = &usher.deps;
            // Caught, so that a defect in a launcher costs one call and not the room that was taken for it.
            let launched = AssertUnwindSafe(launcher.launch(pool.instance(&**clock, &**ids))).catch_unwind().await;
            match launched.unwrap_or_else(|_| Err(Fault::internal("starting an instance panicked"))) {
                Ok(launched) => usher.started(&pool, start, launched, begun.elapsed()),
                Err(fault) => {
                    let fault = match &pool.redactor {
                        Some(redactor) => redactor.fault(fault),
                        None => fault,
                    };
                    if let Some(waiter) = usher.act(|places, now| places.failed(start, now)) {
                        drop(waiter.send(Err(NoPlace::Failed(fault))));
                    }
                }
            }
        });
    }

    fn started(self: &Arc<Self>, pool: &PoolSpec, start: Start, launched: Launched, took: Duration) {
        let Launched { instance, logs, timings, .. } = launched;
        let (concurrency, memory) = (instance.concurrency(), instance.usage().peak_memory_bytes);
        let stats = self.deps.stats.function(pool.function, &pool.name);
        stats.started(timings.sandbox + timings.runtime + timings.import);
        // Outside the lock: it reads files.
        let at_rest = AtRest::of(&*instance);
        let mut made = None;
        self.act(|places, now| {
            let slot = |id| {
                let slot = Slot::new(id, instance, timings, pool.redactor.clone(), at_rest);
                Arc::clone(made.insert(Arc::new(slot)))
            };
            places.started(start, concurrency, memory, took, slot, now);
        });
        if let Some(slot) = made {
            self.watch(pool, slot, logs);
        }
    }

    /// Records what the instance writes outside calls, and notices when it ends.
    fn watch(self: &Arc<Self>, pool: &PoolSpec, slot: Arc<Slot>, mut logs: InstanceLogs) {
        let (project, function) = (pool.project, pool.function);
        let usher = Arc::clone(self);
        self.deps.tasks.spawn(async move {
            while let Some(mut entry) = logs.recv().await {
                slot.clean(&mut entry.message);
                usher.deps.recorder.log(project, function, None, entry);
            }
            slot.instance.exited().await;
            usher.act(|places, now| places.exited(slot.id, now));
        });
    }

    fn end(self: &Arc<Self>, slot: Arc<Slot>, gently: bool) {
        let usher = Arc::clone(self);
        self.deps.tasks.spawn(async move {
            // Calls that share the instance get a moment to end; the one that broke it is already over.
            let patience = Instant::now() + PATIENCE;
            while slot.is_busy() && Instant::now() < patience {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            if gently && !slot.is_busy() {
                tokio::select! {
                    _ = slot.instance.stop(GRACE) => return,
                    () = usher.is_pressed() => {}
                }
            }
            slot.instance.stop(Duration::ZERO).await;
        });
    }

    /// Waits until a leaving instance must make way: a call waits for room, or the server cannot wait any longer.
    async fn is_pressed(&self) {
        let must_end = |end: &Instant| Instant::now() >= *end;
        while !self.end.get().is_some_and(must_end) && !self.state.lock().places.lacks_room() {
            tokio::time::sleep(PRESSURE_ROUND).await;
        }
    }
}
