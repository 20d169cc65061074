//! Where runtimes wait for functions: filled in the background, emptied by starts.
//!
//! Nothing waits for a runtime that no deployed function uses. What waits is bounded for each kind, deeper for a while
//! after many starts, and gets out of the way of starts that somebody waits for.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use faas_ports::{Clock, IdSource, PortError, PortResult, SandboxSpec, Sandboxes, StartFigures};
use faas_types::{ByteSize, RuntimeName};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use crate::demand::{Demand, Depth};
use crate::installations::Installations;
use crate::kind::{Kind, KindKey};
use crate::tally::Tally;
use crate::waiting::Waiting;
use crate::zygotes::Zygotes;

/// Kinds that runtimes wait for; further ones are started when they are called.
const KINDS_MAX: usize = 16;
/// After many starts, so many times the usual number wait. Forks share their memory, others do not.
const DEEPER_FORKED: usize = 4;
const DEEPER: usize = 2;
/// Forks for starts that are under way at once: each has some descriptors in flight.
const FORKS_AT_ONCE: usize = 32;
/// How often what waits is compared with what should.
const ROUND: Duration = Duration::from_secs(5);
/// Silence after a start before the next parking, which would take the processor from its handler.
const BREATH: Duration = Duration::from_millis(15);
/// A lot is refilled after this time however many starts are under way.
const HOLD_BACK_MAX: Duration = Duration::from_millis(250);
/// Pause after a parking that failed.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);

/// Runtimes that wait.
pub(crate) struct Lot {
    pub(crate) sandboxes: Arc<dyn Sandboxes>,
    installations: Arc<Installations>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    /// How many wait for each kind; none means that nothing here is used.
    depth: usize,
    stalls: Mutex<HashMap<KindKey, Stall>>,
    wanted: Mutex<Vec<(RuntimeName, ByteSize)>>,
    zygotes: Zygotes,
    forks: Semaphore,
    under_way: AtomicUsize,
    last_start: Mutex<Instant>,
    changed: Notify,
    pub(crate) tally: Tally,
}

/// Those of one kind.
struct Stall {
    kind: Arc<Kind>,
    /// Oldest first.
    waiting: VecDeque<Waiting>,
    demand: Demand,
    /// After a failure.
    closed_until: Option<Instant>,
}

/// A start that somebody waits for. Parking is held back until it is dropped.
pub(crate) struct Start<'a>(&'a Lot);

// === impl Lot ===

impl Lot {
    pub(crate) fn new(
        sandboxes: Arc<dyn Sandboxes>,
        installations: Arc<Installations>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
        depth: usize,
    ) -> Self {
        let zygotes = Zygotes::new(Arc::clone(&sandboxes), Arc::clone(&clock), Arc::clone(&ids));
        Self {
            sandboxes,
            installations,
            clock,
            ids,
            depth,
            stalls: Mutex::default(),
            wanted: Mutex::default(),
            zygotes,
            forks: Semaphore::new(FORKS_AT_ONCE),
            under_way: AtomicUsize::new(0),
            last_start: Mutex::new(Instant::now()),
            changed: Notify::new(),
            tally: Tally::default(),
        }
    }

    /// Notes a start, until what it returns is dropped.
    pub(crate) fn begin(&self) -> Start<'_> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Start(self)
    }

    /// The longest waiting runtime of a kind.
    pub(crate) fn take(&self, key: &KindKey) -> Option<Waiting> {
        let mut stalls = self.stalls.lock();
        let stall = stalls.get_mut(key)?;
        stall.demand.note(Instant::now());
        stall.waiting.pop_front()
    }

    /// One for a start that somebody waits for; `None` when its runtime has no zygote that runs.
    pub(crate) async fn fork(&self, kind: &Kind) -> Option<PortResult<Waiting>> {
        self.fork_as(kind, kind.blank_spec(self.ids.mint(self.clock.now()))).await
    }

    async fn fork_as(&self, kind: &Kind, spec: SandboxSpec) -> Option<PortResult<Waiting>> {
        let zygote = self.zygotes.running(kind)?;
        let _turn = self.forks.acquire().await.ok()?;
        let parked = zygote.park(spec).await;
        let met = match parked {
            Ok(parked) => Waiting::meet(kind, parked, Arc::clone(&self.clock)).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &met {
            self.zygotes.judge(kind, &zygote, error).await;
        }
        Some(met)
    }

    /// Replaces what is wanted; [`tend`](Self::tend) does the rest.
    pub(crate) fn want(&self, wanted: Vec<(RuntimeName, ByteSize)>) {
        if self.depth > 0 {
            *self.wanted.lock() = wanted;
            self.changed.notify_one();
        }
    }

    pub(crate) fn figures(&self) -> StartFigures {
        let mut parked: Vec<(RuntimeName, u64)> = Vec::new();
        for (key, stall) in self.stalls.lock().iter() {
            let count = stall.waiting.len() as u64;
            match parked.iter_mut().find(|(runtime, _)| *runtime == key.runtime) {
                Some((_, sum)) => *sum += count,
                None => parked.push((key.runtime.clone(), count)),
            }
        }
        parked.sort();
        StartFigures { parked, ..self.tally.figures() }
    }

    /// Keeps as many waiting as should, for ever. Dropping it and [`clear`](Self::clear) leave nothing.
    pub(crate) async fn tend(&self) {
        let mut round = tokio::time::interval(ROUND);
        loop {
            tokio::select! {
                () = self.changed.notified() => {}
                _ = round.tick() => {}
            }
            self.arrange().await;
            while let Some(kind) = self.lacking() {
                self.hold_back().await;
                self.park(&kind).await;
            }
        }
    }

    /// Throws out everything that waits.
    pub(crate) fn clear(&self) {
        self.wanted.lock().clear();
        self.stalls.lock().clear();
        self.zygotes.retain(|_| false);
    }

    /// Makes the stalls those that are wanted, and not fuller than they should be.
    async fn arrange(&self) {
        let wanted = self.wanted.lock().clone();
        let mut keys = HashSet::new();
        for (runtime, memory) in wanted {
            // A runtime that is not here is the deployment's trouble, and has been told there.
            let Ok(kind) = self.installations.kind(&runtime, memory).await else { continue };
            if keys.len() < KINDS_MAX && keys.insert(kind.key.clone()) {
                self.zygotes.ensure(&kind).await;
                let stall = |kind| Stall {
                    kind,
                    waiting: VecDeque::new(),
                    demand: Demand::new(Instant::now()),
                    closed_until: None,
                };
                self.stalls.lock().entry(kind.key.clone()).or_insert_with(|| stall(kind));
            }
        }
        let now = Instant::now();
        let mut stalls = self.stalls.lock();
        stalls.retain(|key, _| keys.contains(key));
        for stall in stalls.values_mut() {
            let target = stall.target(self.depth, now);
            let surplus = stall.waiting.len().saturating_sub(target);
            stall.waiting.drain(..surplus);
        }
        drop(stalls);
        self.zygotes.retain(|runtime| keys.iter().any(|key| key.runtime == *runtime));
    }

    /// The kind that lacks most.
    fn lacking(&self) -> Option<Arc<Kind>> {
        let now = Instant::now();
        let stalls = self.stalls.lock();
        let open = stalls.values().filter(|stall| stall.closed_until.is_none_or(|until| until <= now));
        let lack = |stall: &Stall| stall.target(self.depth, now).saturating_sub(stall.waiting.len());
        let most = open.max_by_key(|stall| lack(stall)).filter(|stall| lack(stall) > 0);
        most.map(|stall| Arc::clone(&stall.kind))
    }

    /// Until no start is under way and the last one is a moment ago, or long enough.
    async fn hold_back(&self) {
        let deadline = Instant::now() + HOLD_BACK_MAX;
        loop {
            let now = Instant::now();
            let next = *self.last_start.lock() + BREATH;
            let is_quiet = self.under_way.load(Ordering::Relaxed) == 0 && next <= now;
            if is_quiet || now >= deadline {
                return;
            }
            tokio::time::sleep(next.saturating_duration_since(now).max(Duration::from_millis(1))).await;
        }
    }

    async fn park(&self, kind: &Arc<Kind>) {
        let begun = Instant::now();
        let mut outcome = self.fork_as(kind, kind.parked_spec(self.ids.mint(self.clock.now()))).await;
        if let Some(Err(error)) = &outcome {
            tracing::debug!(runtime = %kind.key.runtime, %error, "a zygote's fork did not arrive");
            self.tally.fell_back("fork");
        }
        if outcome.as_ref().is_none_or(Result::is_err) {
            outcome = Some(self.start(kind).await);
        }
        let mut stalls = self.stalls.lock();
        let Some(stall) = stalls.get_mut(&kind.key) else { return };
        match outcome {
            Some(Ok(waiting)) => {
                self.tally.parked(begun.elapsed());
                stall.waiting.push_back(waiting);
                stall.closed_until = None;
            }
            Some(Err(error)) => {
                tracing::debug!(runtime = %kind.key.runtime, %error, "no runtime could be parked");
                stall.closed_until = Some(Instant::now() + FAILURE_PAUSE);
            }
            None => {}
        }
    }

    async fn start(&self, kind: &Kind) -> Result<Waiting, PortError> {
        let parked = self.sandboxes.park(kind.parked_spec(self.ids.mint(self.clock.now()))).await?;
        Waiting::meet(kind, parked, Arc::clone(&self.clock)).await
    }
}

// === impl Stall ===

impl Stall {
    fn target(&self, least: usize, now: Instant) -> usize {
        let deeper = if Zygotes::is_forked(&self.kind) { DEEPER_FORKED } else { DEEPER };
        self.demand.target(Depth { least, most: least.saturating_mul(deeper) }, now)
    }
}

// === impl Start ===

impl Drop for Start<'_> {
    fn drop(&mut self) {
        *self.0.last_start.lock() = Instant::now();
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.changed.notify_one();
    }
}
