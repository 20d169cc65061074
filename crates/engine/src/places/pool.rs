//! One pool as the decisions see it: the instances of one version in one stage with one set of vars, and the calls that wait.

use std::time::{Duration, Instant};

use faas_types::{FunctionId, ProjectId, Stage};

use super::Cast;
use super::crew::Crew;
use super::queue::{Queue, Urgency};
use super::scaling::{Average, Demand, Load, starts_wanted};

/// What a first instance is taken to hold until one was measured, when its limit is not lower.
const UNMEASURED: u64 = 32 << 20;
/// The pause after a start that failed without a caller to tell, doubled each time.
const FAILED_PAUSE: Duration = Duration::from_secs(1);
/// The longest such pause, in doublings.
const FAILED_DOUBLINGS: u32 = 6;

/// What a pool belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PoolKey {
    pub function: FunctionId,
    pub version: u32,
    pub stage: Stage,
    /// Identifies the vars and secrets that the instances were started with.
    pub vars: u64,
}

/// What calls can still come to a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// `live` sends calls to its version, so that it may keep instances without calls.
    Live,
    /// Only calls by another alias or by its number.
    Reachable,
    /// None: its function is gone or has other vars.
    Outdated,
}

/// The bounds of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub project: ProjectId,
    /// Instances kept without calls, while the version is live.
    pub min: u32,
    pub max: u32,
    /// Calls that an instance is expected to take at once.
    pub concurrency: u32,
    /// The memory limit of one instance.
    pub memory: u64,
    /// Calls that may wait.
    pub queue: usize,
}

/// One pool.
pub(crate) struct Pool<C: Cast> {
    pub key: PoolKey,
    pub terms: Terms,
    pub spec: C::Pool,
    pub crew: Crew<C::Slot>,
    pub queue: Queue<C::Waiter>,
    pub starting: u32,
    /// Starts wanted when last reviewed.
    pub wanted: u32,
    pub call: Average,
    pub start: Average,
    pub demand: Demand,
    /// What an instance is expected to hold.
    pub memory: u64,
    /// No call is admitted any more.
    pub closed: bool,
    /// The minimum is kept.
    pub is_live: bool,
    pub alarm: Option<Instant>,
    failures: u32,
    retry_at: Option<Instant>,
    /// Which instance is measured next.
    pub turn: usize,
}

// === impl Pool ===

impl<C: Cast> Pool<C> {
    pub(crate) fn new(key: PoolKey, terms: Terms, spec: C::Pool, now: Instant) -> Self {
        Self {
            key,
            terms,
            spec,
            crew: Crew::new(),
            queue: Queue::new(),
            starting: 0,
            wanted: 0,
            call: Average::default(),
            start: Average::default(),
            demand: Demand::new(now),
            memory: terms.memory.min(UNMEASURED),
            closed: false,
            is_live: true,
            alarm: None,
            failures: 0,
            retry_at: None,
            turn: 0,
        }
    }

    pub(crate) fn instances(&self) -> u32 {
        self.crew.live() + self.starting
    }

    pub(crate) fn waiting(&self) -> u32 {
        u32::try_from(self.queue.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.instances() == 0 && self.queue.is_empty()
    }

    /// Instances kept without calls.
    pub(crate) fn min(&self) -> u32 {
        if self.is_live && !self.closed { self.terms.min } else { 0 }
    }

    /// Idle instances that the minimum does not keep.
    pub(crate) fn spare(&self) -> u32 {
        self.crew.idle().min(self.crew.live().saturating_sub(self.min()))
    }

    pub(crate) fn review(&mut self, now: Instant) -> Option<Urgency> {
        let load = Load {
            waiting: self.waiting(),
            live: self.crew.live(),
            starting: self.starting,
            max: self.terms.max,
            concurrency: self.terms.concurrency,
            call: self.call.get(),
            start: self.start.get(),
            progress: self.queue.progress(now),
        };
        self.wanted = starts_wanted(load);
        let urgency = if self.queue.is_background() { Urgency::Background } else { Urgency::Caller };
        (self.wanted > 0).then_some(urgency)
    }

    /// When to look again whether the queue clears as fast as was thought; `None` when a start is no choice.
    pub(crate) fn doubt(&self, now: Instant) -> Option<Instant> {
        let has_choice = self.wanted == 0 && !self.queue.is_empty() && self.instances() < self.terms.max;
        let start = self.start.get().filter(|_| has_choice)?;
        Some(now + start.saturating_sub(self.queue.progress(now).waited).max(Duration::from_millis(1)))
    }

    /// Starts that the minimum lacks, unless the last one failed a moment ago.
    pub(crate) fn lacks(&self, now: Instant) -> u32 {
        let may_start = self.retry_at.is_none_or(|at| at <= now);
        if may_start { self.min().saturating_sub(self.instances()) } else { 0 }
    }

    pub(crate) fn note_failure(&mut self, now: Instant) {
        self.retry_at = Some(now + FAILED_PAUSE * (1 << self.failures.min(FAILED_DOUBLINGS)));
        self.failures += 1;
    }

    pub(crate) fn note_success(&mut self) {
        (self.failures, self.retry_at) = (0, None);
    }

    /// Takes in what an instance really holds: the most counts at once, less only slowly.
    pub(crate) fn learn(&mut self, measured: u64) {
        self.memory = if measured >= self.memory { measured } else { self.memory - (self.memory - measured) / 4 };
    }
}
