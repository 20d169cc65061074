//! Carries out what the scheduler decides: grants permits, starts and stops instances, and keeps the time.

mod permit;

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

use crate::instance_handle::InstanceHandle;
use crate::pool_spec::PoolSpec;
use crate::process_baseline::ProcessBaseline;
use crate::scheduler::{
    Admission, CallRefusal, CapacityLimits, Effect, Handles, InstanceRef, PoolKey, PoolStatus, QueuePosition,
    Rejection, Scheduler, SchedulerSnapshot, StartReservation, Urgency, WaiterId,
};

pub use permit::Permit;

/// How long calls that share an instance may take to end once it was stopped.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an instance that is no longer needed may run its exit handlers.
const GRACE: Duration = Duration::from_secs(2);
/// How often it is checked whether a call waits for the capacity of an instance that stops.
const PRESSURE_ROUND: Duration = Duration::from_millis(20);
/// The part of a stopping server's patience that is kept for instances that do not stop by themselves.
const RESERVE: Duration = Duration::from_millis(500);

/// What the driver has behind the scheduler's pools, instances and waiting calls.
pub(crate) struct DriverHandles;

impl Handles for DriverHandles {
    type Pool = Arc<PoolSpec>;
    type Instance = Arc<InstanceHandle>;
    type Waiter = oneshot::Sender<Result<Permit, AdmissionError>>;
}

/// What a driver needs.
#[expect(missing_docs, reason = "each field is the port or the service of its type")]
pub struct DriverDeps {
    pub launcher: Arc<dyn Launcher>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdSource>,
    pub recorder: Recorder,
    pub stats: Arc<Stats>,
    pub tasks: TaskTracker,
}

/// The instances of this node: admits calls to them, starts and stops them.
pub struct SchedulerDriver {
    deps: DriverDeps,
    state: Mutex<State>,
    /// Wakes the timer: there is maintenance to do, or a recheck is due sooner.
    timer_changed: Notify,
    /// When the instances of a stopping server are killed.
    kill_at: OnceLock<Instant>,
}

struct State {
    scheduler: Scheduler<DriverHandles>,
    /// What the timer knows: whether there was nothing to maintain, and the next recheck.
    timer_idle: bool,
    timer_recheck: Option<Instant>,
}

/// Why a call was not admitted.
pub enum AdmissionError {
    /// There is no such pool. The caller can open it.
    UnknownPool,
    /// The pool was closed meanwhile by a newer version or newer vars. Another pool takes the call at its position.
    PoolClosed(QueuePosition),
    /// The call cannot be served now.
    Refused(CallRefusal),
    /// The instance that it waited for did not start.
    StartFailed(Fault),
}

/// A call in a queue. Dropping it leaves the queue, unless it has left it: that is looked for under the lock that every call takes.
struct QueuedCall<'a> {
    driver: &'a Arc<SchedulerDriver>,
    id: WaiterId,
    has_left: bool,
}

impl Drop for QueuedCall<'_> {
    fn drop(&mut self) {
        if !self.has_left {
            self.driver.apply(|scheduler, now| scheduler.cancel(self.id, now));
        }
    }
}

// === impl SchedulerDriver ===

impl SchedulerDriver {
    /// A driver without pools.
    pub fn new(limits: CapacityLimits, deps: DriverDeps) -> Arc<Self> {
        let state = State { scheduler: Scheduler::new(limits), timer_idle: true, timer_recheck: None };
        Arc::new(Self { deps, state: Mutex::new(state), timer_changed: Notify::new(), kill_at: OnceLock::new() })
    }

    /// Applies an event and carries out its effects after the lock is released.
    fn apply<T>(self: &Arc<Self>, event: impl FnOnce(&mut Scheduler<DriverHandles>, Instant) -> T) -> T {
        let (outcome, effects) = {
            let mut state = self.state.lock();
            let outcome = event(&mut state.scheduler, Instant::now());
            let recheck = state.scheduler.next_recheck();
            let sooner = recheck.is_some_and(|at| state.timer_recheck.is_none_or(|known| at < known));
            if sooner || (state.timer_idle && !state.scheduler.is_empty()) {
                (state.timer_recheck, state.timer_idle) = (recheck, false);
                self.timer_changed.notify_one();
            }
            (outcome, state.scheduler.take_effects())
        };
        effects.into_iter().for_each(|effect| self.carry_out(effect));
        outcome
    }

    /// A permit for one call: in an idle instance, or in the next one that is free or started before `deadline`.
    ///
    /// # Errors
    /// When the call cannot be admitted. It has left every queue then.
    pub async fn acquire(
        self: &Arc<Self>,
        key: &PoolKey,
        urgency: Urgency,
        position: Option<QueuePosition>,
        deadline: Instant,
    ) -> Result<Permit, AdmissionError> {
        let mut receiver = None;
        let waiter = || {
            let (sender, wait) = oneshot::channel();
            receiver = Some(wait);
            sender
        };
        let id = match self.apply(|scheduler, now| scheduler.admit(key, urgency, position, waiter, now)) {
            Admission::Granted(instance) => return Ok(Permit::new(Arc::clone(self), instance)),
            Admission::UnknownPool => return Err(AdmissionError::UnknownPool),
            Admission::Refused(refusal) => return Err(AdmissionError::Refused(refusal)),
            Admission::Queued(id) => id,
        };
        let Some(mut receiver) = receiver else { return Err(AdmissionError::UnknownPool) };
        let mut queued = QueuedCall { driver: self, id, has_left: false };
        if let Ok(answer) = tokio::time::timeout_at(deadline.into(), &mut receiver).await {
            queued.has_left = answer.is_ok();
            return answer.unwrap_or(Err(AdmissionError::UnknownPool));
        }
        match self.apply(|scheduler, now| scheduler.expire(queued.id, now)) {
            Some(refusal) => Err(AdmissionError::Refused(refusal)),
            // Granted at the last moment: the permit is on its way already.
            None => receiver.await.unwrap_or(Err(AdmissionError::UnknownPool)),
        }
    }

    fn release(self: &Arc<Self>, instance: InstanceRef, took: Duration, fit: bool) {
        self.apply(|scheduler, now| scheduler.release(instance, took, fit, now));
    }

    /// Opens a pool unless it is open.
    pub fn open_pool(self: &Arc<Self>, key: PoolKey, spec: PoolSpec) {
        self.apply(|scheduler, now| scheduler.open_pool(key, spec.limits(), Arc::new(spec), now));
    }

    /// Closes the pools of a function, except those that `keep` selects.
    pub fn close_pools(self: &Arc<Self>, function: FunctionId, keep: impl Fn(&PoolKey) -> bool) {
        self.apply(|scheduler, now| scheduler.close_pools(function, now, keep));
    }

    /// Admits no more calls. Waiting calls are still served.
    pub fn stop(self: &Arc<Self>, patience: Duration) {
        let _ = self.kill_at.set(Instant::now() + patience.saturating_sub(RESERVE));
        self.apply(Scheduler::stop);
    }

    /// Refuses the calls that still wait and stops every instance, busy or not.
    pub fn abandon(self: &Arc<Self>) {
        self.apply(Scheduler::abandon);
    }

    /// The state at this moment.
    pub fn snapshot(&self) -> SchedulerSnapshot {
        self.state.lock().scheduler.snapshot()
    }

    /// The functions that have pools.
    pub fn functions(&self) -> Vec<FunctionId> {
        self.state.lock().scheduler.functions()
    }

    /// The versions that a function has pools of.
    pub fn versions_of(&self, function: FunctionId) -> BTreeSet<u32> {
        self.state.lock().scheduler.versions_of(function)
    }

    /// The versions of a function that have an instance or a waiting call.
    pub fn versions_in_use(&self, function: FunctionId) -> Vec<u32> {
        self.state.lock().scheduler.versions_in_use(function)
    }

    /// Starting, serving and terminating instances.
    pub fn instances(&self) -> u32 {
        self.state.lock().scheduler.instances()
    }

    /// Starting and serving instances of a function.
    pub fn instances_of(&self, function: FunctionId) -> u32 {
        self.state.lock().scheduler.instances_of(function)
    }

    /// Runs maintenance and rechecks until dropped. Sleeps without a wake-up while nothing runs and no call waits.
    pub async fn run_timer(
        self: Arc<Self>,
        every: Duration,
        idle_timeout: Duration,
        status: impl Fn(&PoolKey) -> PoolStatus,
    ) {
        let mut next = Instant::now() + every;
        loop {
            let (idle, recheck) = {
                let mut state = self.state.lock();
                state.timer_idle = state.scheduler.is_empty();
                state.timer_recheck = state.scheduler.next_recheck();
                (state.timer_idle, state.timer_recheck)
            };
            let due = recheck.map_or(next, |recheck| recheck.min(next));
            tokio::select! {
                () = self.timer_changed.notified() => {}
                () = tokio::time::sleep_until(due.into()), if !idle => {
                    self.apply(Scheduler::recheck);
                    if Instant::now() >= next {
                        self.apply(|scheduler, now| scheduler.maintain(now, idle_timeout, &status));
                        next = Instant::now() + every;
                    }
                }
            }
        }
    }

    fn carry_out(self: &Arc<Self>, effect: Effect<DriverHandles>) {
        match effect {
            // A caller that went away meanwhile releases the permit by dropping it.
            Effect::Grant { waiter, instance } => drop(waiter.send(Ok(Permit::new(Arc::clone(self), instance)))),
            Effect::Reject { waiter, reason } => {
                let error = match reason {
                    Rejection::PoolClosed(position) => AdmissionError::PoolClosed(position),
                    Rejection::Refused(refusal) => AdmissionError::Refused(refusal),
                };
                drop(waiter.send(Err(error)));
            }
            Effect::Start { pool, reservation } => self.start_instance(pool, reservation),
            Effect::Stop { instance, gracefully } => self.stop_instance(instance, gracefully),
            Effect::Measure { instance } => {
                if let Some(memory) = instance.instance.usage().peak_memory_bytes {
                    self.apply(|scheduler, _| scheduler.measured(instance.id, memory));
                }
            }
        }
    }

    fn start_instance(self: &Arc<Self>, pool: Arc<PoolSpec>, reservation: StartReservation) {
        let driver = Arc::clone(self);
        self.deps.tasks.spawn(async move {
            let begun = Instant::now();
            let DriverDeps { launcher, clock, ids, .. } = &driver.deps;
            // Caught, so that a defect in a launcher costs one call and not the capacity that was reserved for it.
            let launched = AssertUnwindSafe(launcher.launch(pool.instance(&**clock, &**ids))).catch_unwind().await;
            match launched.unwrap_or_else(|_| Err(Fault::internal("starting an instance panicked"))) {
                Ok(launched) => driver.started(&pool, reservation, launched, begun.elapsed()),
                Err(fault) => {
                    let fault = match &pool.redactor {
                        Some(redactor) => redactor.fault(fault),
                        None => fault,
                    };
                    if let Some(waiter) = driver.apply(|scheduler, now| scheduler.failed(reservation, now)) {
                        drop(waiter.send(Err(AdmissionError::StartFailed(fault))));
                    }
                }
            }
        });
    }

    fn started(self: &Arc<Self>, pool: &PoolSpec, reservation: StartReservation, launched: Launched, took: Duration) {
        let Launched { instance, logs, timings, .. } = launched;
        let (concurrency, memory) = (instance.concurrency(), instance.usage().peak_memory_bytes);
        let stats = self.deps.stats.function(pool.function, &pool.name);
        stats.started(timings.sandbox + timings.runtime + timings.import);
        // Outside the lock: it reads files.
        let baseline = ProcessBaseline::of(&*instance);
        let mut made = None;
        self.apply(|scheduler, now| {
            let handle = |id| {
                let handle = InstanceHandle::new(id, instance, timings, pool.redactor.clone(), baseline);
                Arc::clone(made.insert(Arc::new(handle)))
            };
            scheduler.started(reservation, concurrency, memory, took, handle, now);
        });
        if let Some(handle) = made {
            self.watch(pool, handle, logs);
        }
    }

    /// Records what the instance writes outside calls, and notices when it ends.
    fn watch(self: &Arc<Self>, pool: &PoolSpec, handle: Arc<InstanceHandle>, mut logs: InstanceLogs) {
        let (project, function) = (pool.project, pool.function);
        let driver = Arc::clone(self);
        self.deps.tasks.spawn(async move {
            while let Some(mut entry) = logs.recv().await {
                handle.redact(&mut entry.message);
                driver.deps.recorder.log(project, function, None, entry);
            }
            handle.instance.exited().await;
            driver.apply(|scheduler, now| scheduler.exited(handle.id, now));
        });
    }

    fn stop_instance(self: &Arc<Self>, handle: Arc<InstanceHandle>, gracefully: bool) {
        let driver = Arc::clone(self);
        self.deps.tasks.spawn(async move {
            // Calls that share the instance get a moment to end; the one that broke it has ended.
            let drained_by = Instant::now() + DRAIN_TIMEOUT;
            while handle.is_busy() && Instant::now() < drained_by {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            if gracefully && !handle.is_busy() {
                tokio::select! {
                    _ = handle.instance.stop(GRACE) => return,
                    () = driver.under_pressure() => {}
                }
            }
            handle.instance.stop(Duration::ZERO).await;
        });
    }

    /// Waits until a stopping instance must end: a call waits for its capacity, or the server cannot wait any longer.
    async fn under_pressure(&self) {
        let is_past = |at: &Instant| Instant::now() >= *at;
        while !self.kill_at.get().is_some_and(is_past) && !self.state.lock().scheduler.lacks_capacity() {
            tokio::time::sleep(PRESSURE_ROUND).await;
        }
    }
}
