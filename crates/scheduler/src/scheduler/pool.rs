//! One pool: the instances of one version in one stage with one set of vars, and the calls that wait for them.

use std::time::{Duration, Instant};

use faas_types::{FunctionId, ProjectId, Stage};

use super::Handles;
use super::instances::Instances;
use super::queue::{Queue, Urgency};
use super::scaling::{Demand, MovingAverage, PoolLoad, starts_wanted};

/// The memory that a first instance is assumed to use until one was measured, unless its limit is lower.
const UNMEASURED: u64 = 32 << 20;
/// The pause after a failed start for a minimum, doubled each time.
const FAILED_PAUSE: Duration = Duration::from_secs(1);
/// The number of doublings after which the pause stays the same.
const FAILED_DOUBLINGS: u32 = 6;

/// What identifies a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolKey {
    /// The function.
    pub function: FunctionId,
    /// Its version.
    pub version: u32,
    /// The stage of its instances.
    pub stage: Stage,
    /// The fingerprint of the vars and secrets that its instances get.
    pub vars: u64,
}

/// Which calls can still reach a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolStatus {
    /// Calls by the alias `live`. Such a pool may keep instances without calls.
    Live,
    /// Only calls by another alias or by version number.
    Reachable,
    /// No call: the function was deleted, or its vars have changed.
    Outdated,
}

/// The limits of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolLimits {
    pub project: ProjectId,
    /// Instances kept without calls while the version is live.
    pub min: u32,
    pub max: u32,
    /// Calls that an instance is expected to serve at once.
    pub concurrency: u32,
    /// The memory limit of one instance.
    pub memory: u64,
    /// Calls that may wait.
    pub queue: usize,
}

/// One pool.
pub(crate) struct Pool<H: Handles> {
    pub key: PoolKey,
    pub limits: PoolLimits,
    pub spec: H::Pool,
    pub instances: Instances<H::Instance>,
    pub queue: Queue<H::Waiter>,
    pub starting: u32,
    /// Starts wanted at the last update.
    pub wanted: u32,
    pub call: MovingAverage,
    pub start: MovingAverage,
    pub demand: Demand,
    /// The memory that an instance is expected to use.
    pub memory: u64,
    /// It admits no calls any more.
    pub closed: bool,
    /// Its minimum of instances is kept.
    pub is_live: bool,
    pub recheck_at: Option<Instant>,
    failures: u32,
    retry_at: Option<Instant>,
    /// Which instance is measured next.
    pub next_measured: usize,
}

// === impl Pool ===

impl<H: Handles> Pool<H> {
    pub(crate) fn new(key: PoolKey, limits: PoolLimits, spec: H::Pool, now: Instant) -> Self {
        Self {
            key,
            limits,
            spec,
            instances: Instances::new(),
            queue: Queue::new(),
            starting: 0,
            wanted: 0,
            call: MovingAverage::default(),
            start: MovingAverage::default(),
            demand: Demand::new(now),
            memory: limits.memory.min(UNMEASURED),
            closed: false,
            is_live: true,
            recheck_at: None,
            failures: 0,
            retry_at: None,
            next_measured: 0,
        }
    }

    pub(crate) fn instances(&self) -> u32 {
        self.instances.live() + self.starting
    }

    pub(crate) fn waiting(&self) -> u32 {
        u32::try_from(self.queue.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.instances() == 0 && self.queue.is_empty()
    }

    /// Instances kept without calls.
    pub(crate) fn min(&self) -> u32 {
        if self.is_live && !self.closed { self.limits.min } else { 0 }
    }

    /// Idle instances beyond the minimum.
    pub(crate) fn spare(&self) -> u32 {
        self.instances.idle().min(self.instances.live().saturating_sub(self.min()))
    }

    /// Updates the number of starts that are wanted. The result tells for whom.
    pub(crate) fn update_demand(&mut self, now: Instant) -> Option<Urgency> {
        let load = PoolLoad {
            waiting: self.waiting(),
            live: self.instances.live(),
            starting: self.starting,
            max: self.limits.max,
            concurrency: self.limits.concurrency,
            call: self.call.get(),
            start: self.start.get(),
            progress: self.queue.progress(now),
        };
        self.wanted = starts_wanted(load);
        let urgency = if self.queue.is_background() { Urgency::Background } else { Urgency::Caller };
        (self.wanted > 0).then_some(urgency)
    }

    /// When to check again whether the queue clears as fast as estimated; `None` when another start is not an option.
    pub(crate) fn next_recheck(&self, now: Instant) -> Option<Instant> {
        let may_start = self.wanted == 0 && !self.queue.is_empty() && self.instances() < self.limits.max;
        let start = self.start.get().filter(|_| may_start)?;
        Some(now + start.saturating_sub(self.queue.progress(now).waited).max(Duration::from_millis(1)))
    }

    /// Starts that the minimum lacks; 0 during the pause after a failed start.
    pub(crate) fn missing_minimum(&self, now: Instant) -> u32 {
        let may_start = self.retry_at.is_none_or(|at| at <= now);
        if may_start { self.min().saturating_sub(self.instances()) } else { 0 }
    }

    pub(crate) fn start_failed(&mut self, now: Instant) {
        self.retry_at = Some(now + FAILED_PAUSE * (1 << self.failures.min(FAILED_DOUBLINGS)));
        self.failures += 1;
    }

    pub(crate) fn start_succeeded(&mut self) {
        (self.failures, self.retry_at) = (0, None);
    }

    /// Updates the expected memory by a measured value: at once when it is higher, slowly when it is lower.
    pub(crate) fn learn_memory(&mut self, measured: u64) {
        self.memory = if measured >= self.memory { measured } else { self.memory - (self.memory - measured) / 4 };
    }
}
