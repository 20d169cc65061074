//! Started runtimes that wait for functions: filled in the background, emptied by starts.
//!
//! Nothing waits for a runtime that no deployed function uses. What waits is bounded for each profile, deeper for a while
//! after many starts, and gets out of the way of starts that somebody waits for.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use faas_ports::{Clock, IdSource, PortError, PortResult, SandboxSpec, Sandboxes, StartMetrics};
use faas_types::{ByteSize, RuntimeName};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use crate::counters::Counters;
use crate::demand::{Demand, Depth};
use crate::installations::Installations;
use crate::runtime_profile::{ProfileKey, RuntimeProfile};
use crate::warm_instance::WarmInstance;
use crate::zygotes::Zygotes;

/// Profiles that runtimes wait for; further ones are started when they are called.
const PROFILES_MAX: usize = 16;
/// After many starts, this many times the usual number wait. Forks share their memory, others do not.
const DEEPER_FORKED: usize = 4;
const DEEPER: usize = 2;
/// Forks for starts that are under way at once: each has some descriptors in flight.
const FORKS_AT_ONCE: usize = 32;
/// How often what waits is compared with what should.
const ROUND: Duration = Duration::from_secs(5);
/// Silence after a start before the next parking, which would take the processor from its handler.
const BREATH: Duration = Duration::from_millis(15);
/// The pool is refilled after this time however many starts are under way.
const HOLD_BACK_MAX: Duration = Duration::from_millis(250);
/// Pause after a parking that failed.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);

/// Runtimes that wait.
pub(crate) struct WarmPool {
    pub(crate) sandboxes: Arc<dyn Sandboxes>,
    installations: Arc<Installations>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    /// How many wait for each profile; none means that nothing here is used.
    depth: usize,
    entries: Mutex<HashMap<ProfileKey, PoolEntry>>,
    wanted: Mutex<Vec<(RuntimeName, ByteSize)>>,
    zygotes: Zygotes,
    forks: Semaphore,
    under_way: AtomicUsize,
    last_start: Mutex<Instant>,
    changed: Notify,
    pub(crate) counters: Counters,
}

/// The waiting instances of one profile.
struct PoolEntry {
    profile: Arc<RuntimeProfile>,
    /// Oldest first.
    waiting: VecDeque<WarmInstance>,
    demand: Demand,
    /// After a failure.
    closed_until: Option<Instant>,
}

/// A start that somebody waits for. Parking is held back until it is dropped.
pub(crate) struct StartGuard<'a>(&'a WarmPool);

// === impl WarmPool ===

impl WarmPool {
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
            entries: Mutex::default(),
            wanted: Mutex::default(),
            zygotes,
            forks: Semaphore::new(FORKS_AT_ONCE),
            under_way: AtomicUsize::new(0),
            last_start: Mutex::new(Instant::now()),
            changed: Notify::new(),
            counters: Counters::default(),
        }
    }

    /// Notes a start, until what it returns is dropped.
    pub(crate) fn begin(&self) -> StartGuard<'_> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        StartGuard(self)
    }

    /// The longest waiting runtime of a profile.
    pub(crate) fn take(&self, key: &ProfileKey) -> Option<WarmInstance> {
        let mut entries = self.entries.lock();
        let entry = entries.get_mut(key)?;
        entry.demand.note(Instant::now());
        entry.waiting.pop_front()
    }

    /// One for a start that somebody waits for; `None` when its runtime has no zygote that runs.
    pub(crate) async fn fork(&self, profile: &RuntimeProfile) -> Option<PortResult<WarmInstance>> {
        self.fork_as(profile, profile.blank_spec(self.ids.mint(self.clock.now()))).await
    }

    async fn fork_as(&self, profile: &RuntimeProfile, spec: SandboxSpec) -> Option<PortResult<WarmInstance>> {
        let zygote = self.zygotes.running(profile)?;
        let _turn = self.forks.acquire().await.ok()?;
        let parked = zygote.park(spec).await;
        let met = match parked {
            Ok(parked) => WarmInstance::meet(profile, parked, Arc::clone(&self.clock)).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &met {
            self.zygotes.judge(profile, &zygote, error).await;
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

    pub(crate) fn metrics(&self) -> StartMetrics {
        let mut parked: Vec<(RuntimeName, u64)> = Vec::new();
        for (key, entry) in self.entries.lock().iter() {
            let count = entry.waiting.len() as u64;
            match parked.iter_mut().find(|(runtime, _)| *runtime == key.runtime) {
                Some((_, sum)) => *sum += count,
                None => parked.push((key.runtime.clone(), count)),
            }
        }
        parked.sort();
        StartMetrics { parked, ..self.counters.metrics() }
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
            while let Some(profile) = self.lacking() {
                self.hold_back().await;
                self.park(&profile).await;
            }
        }
    }

    /// Throws out everything that waits.
    pub(crate) fn clear(&self) {
        self.wanted.lock().clear();
        self.entries.lock().clear();
        self.zygotes.retain(|_| false);
    }

    /// Creates and drops entries to match what is wanted, and trims those above their target.
    async fn arrange(&self) {
        let wanted = self.wanted.lock().clone();
        let mut keys = HashSet::new();
        for (runtime, memory) in wanted {
            // A runtime that is not here is the deployment's trouble, and has been told there.
            let Ok(profile) = self.installations.profile(&runtime, memory).await else { continue };
            if keys.len() < PROFILES_MAX && keys.insert(profile.key.clone()) {
                self.zygotes.ensure(&profile).await;
                let entry = |profile| PoolEntry {
                    profile,
                    waiting: VecDeque::new(),
                    demand: Demand::new(Instant::now()),
                    closed_until: None,
                };
                self.entries.lock().entry(profile.key.clone()).or_insert_with(|| entry(profile));
            }
        }
        let now = Instant::now();
        let mut entries = self.entries.lock();
        entries.retain(|key, _| keys.contains(key));
        for entry in entries.values_mut() {
            let target = entry.target(self.depth, now);
            let surplus = entry.waiting.len().saturating_sub(target);
            entry.waiting.drain(..surplus);
        }
        drop(entries);
        self.zygotes.retain(|runtime| keys.iter().any(|key| key.runtime == *runtime));
    }

    /// The profile that lacks most.
    fn lacking(&self) -> Option<Arc<RuntimeProfile>> {
        let now = Instant::now();
        let entries = self.entries.lock();
        let open = entries.values().filter(|entry| entry.closed_until.is_none_or(|until| until <= now));
        let lack = |entry: &PoolEntry| entry.target(self.depth, now).saturating_sub(entry.waiting.len());
        let most = open.max_by_key(|entry| lack(entry)).filter(|entry| lack(entry) > 0);
        most.map(|entry| Arc::clone(&entry.profile))
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

    async fn park(&self, profile: &Arc<RuntimeProfile>) {
        let begun = Instant::now();
        let mut outcome = self.fork_as(profile, profile.parked_spec(self.ids.mint(self.clock.now()))).await;
        if let Some(Err(error)) = &outcome {
            tracing::debug!(runtime = %profile.key.runtime, %error, "a zygote's fork did not arrive");
            self.counters.fell_back("fork");
        }
        if outcome.as_ref().is_none_or(Result::is_err) {
            outcome = Some(self.start(profile).await);
        }
        let mut entries = self.entries.lock();
        let Some(entry) = entries.get_mut(&profile.key) else { return };
        match outcome {
            Some(Ok(waiting)) => {
                self.counters.parked(begun.elapsed());
                entry.waiting.push_back(waiting);
                entry.closed_until = None;
            }
            Some(Err(error)) => {
                tracing::debug!(runtime = %profile.key.runtime, %error, "no runtime could be parked");
                entry.closed_until = Some(Instant::now() + FAILURE_PAUSE);
            }
            None => {}
        }
    }

    async fn start(&self, profile: &RuntimeProfile) -> Result<WarmInstance, PortError> {
        let parked = self.sandboxes.park(profile.parked_spec(self.ids.mint(self.clock.now()))).await?;
        WarmInstance::meet(profile, parked, Arc::clone(&self.clock)).await
    }
}

// === impl PoolEntry ===

impl PoolEntry {
    fn target(&self, least: usize, now: Instant) -> usize {
        let deeper = if Zygotes::is_forked(&self.profile) { DEEPER_FORKED } else { DEEPER };
        self.demand.target(Depth { least, most: least.saturating_mul(deeper) }, now)
    }
}

// === impl StartGuard ===

impl Drop for StartGuard<'_> {
    fn drop(&mut self) {
        *self.0.last_start.lock() = Instant::now();
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.changed.notify_one();
    }
}
