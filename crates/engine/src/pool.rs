//! The instances of one version with one set of vars, and the calls that wait for them.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faas_ports::{Clock, IdSource, InstanceSpec, Launched, Launcher};
use faas_types::{Code, Fault, FunctionId, FunctionName, FunctionSettings, ProjectId, limits};
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::admission::{Admission, Load, admit, starts_wanted};
use crate::place::Place;
use crate::recorder::Recorder;
use crate::room::Room;
use crate::slot::Slot;
use crate::stats::Stats;

/// What every instance of a pool is started with.
pub(crate) struct PoolSpec {
    pub project: ProjectId,
    pub function: FunctionId,
    pub name: FunctionName,
    pub version: u32,
    pub settings: Arc<FunctionSettings>,
    pub vars: Vec<(String, String)>,
    pub code: std::path::PathBuf,
    /// How many calls an instance is expected to take at once.
    pub concurrency: u32,
}

/// What a pool needs of the world.
#[derive(Clone)]
pub(crate) struct PoolDeps {
    pub launcher: Arc<dyn Launcher>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdSource>,
    pub recorder: Recorder,
    pub tasks: TaskTracker,
    pub room: Arc<Room>,
    pub stats: Arc<Stats>,
}

/// The instances of one version with one set of vars.
pub(crate) struct Pool {
    pub(crate) spec: PoolSpec,
    deps: PoolDeps,
    state: Mutex<PoolState>,
}

#[derive(Default)]
struct PoolState {
    /// Live instances, least recently used first.
    slots: Vec<Arc<Slot>>,
    starting: u32,
    waiting: VecDeque<oneshot::Sender<Result<Place, Fault>>>,
    /// No call is admitted any more; those admitted are served to their end.
    closed: bool,
}

/// Why there is no place.
pub(crate) enum NoPlace {
    /// The pool was closed meanwhile: a newer version or newer vars took over.
    Closed,
    /// The call cannot be served.
    Refused(Fault),
}

// === impl PoolSpec ===

impl PoolSpec {
    /// The spec of one more instance.
    pub(crate) fn instance(&self, clock: &dyn Clock, ids: &dyn IdSource) -> InstanceSpec {
        let now = clock.now();
        InstanceSpec {
            id: ids.mint(now),
            sandbox: ids.mint(now),
            function: self.name.clone(),
            version: self.version,
            settings: Arc::clone(&self.settings),
            vars: self.vars.clone(),
            code: self.code.clone(),
            init_timeout: limits::INIT_TIMEOUT,
        }
    }
}

// === impl Pool ===

impl Pool {
    pub(crate) fn new(spec: PoolSpec, deps: PoolDeps) -> Arc<Self> {
        Arc::new(Self { spec, deps, state: Mutex::default() })
    }

    /// A place in an instance: an idle one, or the next that is free or started before `deadline`.
    pub(crate) async fn take(self: &Arc<Self>, deadline: Instant) -> Result<Place, NoPlace> {
        let waiter = {
            let mut state = self.state.lock();
            if state.closed {
                return Err(NoPlace::Closed);
            }
            let mut admission = admit(self.load(&state));
            if admission == Admission::Refuse {
                // Only now, since it costs a look at each: callers that went away must not fill the queue.
                state.waiting.retain(|waiter| !waiter.is_closed());
                admission = admit(self.load(&state));
            }
            match admission {
                Admission::Refuse => return Err(self.overloaded("the queue is full")),
                Admission::Take => {
                    if let Some(place) = self.take_free(&state) {
                        return Ok(place);
                    }
                }
                Admission::Wait => {}
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting.push_back(sender);
            self.start_wanted(&mut state);
            receiver
        };
        match tokio::time::timeout_at(deadline.into(), waiter).await {
            Ok(Ok(answer)) => answer.map_err(NoPlace::Refused),
            Ok(Err(_)) => Err(NoPlace::Closed),
            Err(_) => Err(self.overloaded("no instance was free in time")),
        }
    }

    pub(crate) fn give_back(self: &Arc<Self>, slot: &Arc<Slot>, reusable: bool) {
        slot.end();
        if !reusable {
            self.retire(slot);
            return;
        }
        let surplus = {
            let mut state = self.state.lock();
            self.serve_waiting(&mut state);
            let is_idle = slot.in_flight() == 0;
            if is_idle {
                self.deps.room.fell_idle();
            }
            state.closed && is_idle
        };
        if surplus {
            self.retire(slot);
        }
    }

    /// Takes an instance out of service and stops it; starts another when calls wait.
    pub(crate) fn retire(self: &Arc<Self>, slot: &Arc<Slot>) {
        let is_first = {
            let mut state = self.state.lock();
            let is_first = remove(&mut state, slot);
            self.start_wanted(&mut state);
            is_first
        };
        if is_first {
            self.stop(slot);
        }
    }

    /// Stops an instance unless a call has taken it meanwhile.
    pub(crate) fn retire_idle(self: &Arc<Self>, slot: &Arc<Slot>) {
        let is_idle = {
            let mut state = self.state.lock();
            slot.in_flight() == 0 && remove(&mut state, slot)
        };
        if is_idle {
            self.stop(slot);
        }
    }

    fn stop(&self, slot: &Arc<Slot>) {
        let slot = Arc::clone(slot);
        self.deps.tasks.spawn(async move {
            // Calls that share the instance get a moment to end; the one that broke it is already over.
            let patience = Instant::now() + Duration::from_secs(1);
            while slot.in_flight() > 0 && Instant::now() < patience {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            slot.instance.stop(Duration::ZERO).await;
        });
    }

    /// Stops instances that have been idle since before `since`, keeping the minimum; starts up to the minimum.
    pub(crate) fn tend(self: &Arc<Self>, since: Instant, is_current: bool) {
        let keep = if is_current { self.spec.settings.scaling.min as usize } else { 0 };
        let idle: Vec<Arc<Slot>> = {
            let mut state = self.state.lock();
            let spare = state.slots.len().saturating_sub(keep);
            let idle = state.slots.iter().filter(|s| s.in_flight() == 0 && s.idle_since() <= since);
            let idle = idle.take(spare).cloned().collect();
            let present = state.slots.len() + state.starting as usize;
            if is_current && !state.closed {
                let room = self.deps.room.take(count(keep.saturating_sub(present)));
                (0..room).for_each(|_| self.start_one(&mut state));
            }
            idle
        };
        idle.iter().for_each(|slot| self.retire_idle(slot));
    }

    /// Idle instances that the minimum does not keep.
    pub(crate) fn spare(&self) -> Vec<Arc<Slot>> {
        let state = self.state.lock();
        let keep = if state.closed { 0 } else { self.spec.settings.scaling.min as usize };
        let spare = state.slots.len().saturating_sub(keep);
        state.slots.iter().filter(|slot| slot.in_flight() == 0).take(spare).cloned().collect()
    }

    /// Starts instances for the calls that wait, as far as there is room; returns how many lacked it.
    pub(crate) fn start_waiting(self: &Arc<Self>) -> u32 {
        self.start_wanted(&mut self.state.lock())
    }

    /// Refuses new calls. Calls that wait are still served; instances stop as they fall idle.
    pub(crate) fn close(self: &Arc<Self>) {
        let idle: Vec<Arc<Slot>> = {
            let mut state = self.state.lock();
            state.closed = true;
            if !state.waiting.is_empty() {
                return;
            }
            state.slots.iter().filter(|slot| slot.in_flight() == 0).cloned().collect()
        };
        idle.iter().for_each(|slot| self.retire(slot));
    }

    /// Stops every instance, busy or not, and turns away whoever still waits.
    pub(crate) fn abandon(self: &Arc<Self>) {
        let slots: Vec<Arc<Slot>> = {
            let mut state = self.state.lock();
            state.closed = true;
            state.waiting.clear();
            state.slots.clone()
        };
        slots.iter().for_each(|slot| self.retire(slot));
    }

    /// Live and starting instances.
    pub(crate) fn instances(&self) -> u32 {
        let state = self.state.lock();
        count(state.slots.len()) + state.starting
    }

    /// Whether nothing lives, starts or waits.
    pub(crate) fn is_empty(&self) -> bool {
        let state = self.state.lock();
        state.slots.is_empty() && state.starting == 0 && state.waiting.is_empty()
    }

    fn load(&self, state: &PoolState) -> Load {
        let concurrency = state.slots.first().map_or(self.spec.concurrency, |slot| slot.instance.concurrency());
        Load {
            free: state.slots.iter().map(|slot| slot.free()).sum(),
            live: count(state.slots.len()),
            starting: state.starting,
            waiting: count(state.waiting.len()),
            max: self.spec.settings.scaling.max,
            queue_max: count(limits::QUEUE_MAX),
            concurrency,
        }
    }

    fn serve_waiting(self: &Arc<Self>, state: &mut PoolState) {
        while let Some(waiter) = state.waiting.pop_front() {
            if waiter.is_closed() {
                continue;
            }
            let Some(place) = self.take_free(state) else {
                state.waiting.push_front(waiter);
                break;
            };
            if let Err(Ok(mut place)) = waiter.send(Ok(place)) {
                place.unclaimed = true;
            }
        }
        self.start_wanted(state);
    }

    /// Returns how many starts there was no room for on this node.
    fn start_wanted(self: &Arc<Self>, state: &mut PoolState) -> u32 {
        if starts_wanted(self.load(state)) == 0 {
            return 0;
        }
        // Only now, since it costs a look at each: nobody starts an instance for a caller that went away.
        state.waiting.retain(|waiter| !waiter.is_closed());
        let wanted = starts_wanted(self.load(state));
        let room = self.deps.room.take(wanted);
        (0..room).for_each(|_| self.start_one(state));
        wanted - room
    }

    /// The room for it is already taken.
    fn start_one(self: &Arc<Self>, state: &mut PoolState) {
        state.starting += 1;
        let pool = Arc::clone(self);
        self.deps.tasks.spawn(async move {
            // Caught, so that a defect in a launcher costs one call and not the place that was counted for it.
            let launched = AssertUnwindSafe(pool.launch()).catch_unwind().await;
            pool.launched(launched.unwrap_or_else(|_| Err(Fault::internal("starting an instance panicked"))));
        });
    }

    async fn launch(&self) -> Result<Launched, Fault> {
        self.deps.launcher.launch(self.spec.instance(&*self.deps.clock, &*self.deps.ids)).await
    }

    fn launched(self: &Arc<Self>, launched: Result<Launched, Fault>) {
        let mut state = self.state.lock();
        state.starting -= 1;
        match launched {
            Ok(launched) => {
                let timings = launched.timings;
                let stats = self.deps.stats.function(self.spec.function, &self.spec.name);
                stats.started(timings.sandbox + timings.runtime + timings.import);
                let slot = Arc::new(Slot::new(launched.instance, timings));
                self.watch(&slot, launched.logs);
                state.slots.push(Arc::clone(&slot));
                self.serve_waiting(&mut state);
                let surplus = state.closed && slot.in_flight() == 0;
                drop(state);
                if surplus {
                    self.retire(&slot);
                }
            }
            Err(fault) => {
                self.deps.room.give();
                // Each start answers for one waiting call, so that a broken function fails its callers at once
                // instead of letting them wait for a start that never succeeds.
                let waiter = std::iter::from_fn(|| state.waiting.pop_front()).find(|waiter| !waiter.is_closed());
                if let Some(waiter) = waiter {
                    let _ = waiter.send(Err(fault));
                }
                self.start_wanted(&mut state);
            }
        }
    }

    /// Records what the instance writes outside calls, and notices when it ends by itself.
    fn watch(self: &Arc<Self>, slot: &Arc<Slot>, mut logs: faas_ports::InstanceLogs) {
        let pool = Arc::downgrade(self);
        let (project, function) = (self.spec.project, self.spec.function);
        let (recorder, room) = (self.deps.recorder.clone(), Arc::clone(&self.deps.room));
        let slot = Arc::clone(slot);
        self.deps.tasks.spawn(async move {
            while let Some(entry) = logs.recv().await {
                recorder.log(project, function, None, entry);
            }
            slot.instance.exited().await;
            room.give();
            if let Some(pool) = pool.upgrade() {
                pool.retire(&slot);
            }
        });
    }

    /// A place in the most recently used instance that has one, so that the others can fall idle.
    fn take_free(self: &Arc<Self>, state: &PoolState) -> Option<Place> {
        let slot = state.slots.iter().rev().find(|slot| slot.free() > 0)?;
        slot.begin();
        Some(Place { pool: Arc::clone(self), slot: Arc::clone(slot), reusable: true, unclaimed: false })
    }

    fn overloaded(&self, why: &str) -> NoPlace {
        let max = self.spec.settings.scaling.max;
        let fault = Fault::new(Code::Overloaded, format!("all instances of `{}` are busy: {why}", self.spec.name))
            .with_hint(format!("try again later, or raise scaling.max (now {max}) in the manifest"))
            .with_retry_after(1);
        NoPlace::Refused(fault)
    }
}

/// Takes an instance out of service; returns whether it was in service. Under the pool's lock, so that no call can
/// take it in between.
fn remove(state: &mut PoolState, slot: &Arc<Slot>) -> bool {
    state.slots.retain(|other| !Arc::ptr_eq(other, slot));
    slot.retire()
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
