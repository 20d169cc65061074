//! What was decided so far, counted, and how things stand.

use std::collections::BTreeMap;
use std::time::Duration;

use faas_types::FunctionId;

/// Why an instance was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub(crate) enum Ending {
    /// Nobody called for too long.
    Idle,
    /// It idled, and another function had less.
    Reclaimed,
    /// It had work, and another function had less.
    Yielded,
    /// It idled, and memory was short.
    Memory,
    /// Its last call left it unfit.
    Spoiled,
    /// Its version or its vars were replaced, or the server stops.
    Replaced,
    /// It ended by itself.
    Exited,
}

/// Why a call got no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub(crate) enum Why {
    /// The function has as many instances as it may have, all busy.
    FunctionFull,
    /// The project holds its share of a node that is full.
    ShareFull,
    /// The node is full.
    NodeFull,
    /// The node's memory does not even hold one instance.
    TooLarge,
    /// The server stops.
    Stopping,
}

/// What was decided since the server started.
#[derive(Clone, Debug, Default)]
pub struct Decisions {
    /// Instances whose start was ordered.
    pub starts: u64,
    /// Starts that failed.
    pub failed_starts: u64,
    endings: [u64; Ending::NAMES.len()],
    refusals: [u64; Why::NAMES.len()],
    /// Calls that got their place only after a wait.
    pub waits: u64,
    /// How long they waited altogether.
    pub waited: Duration,
}

/// How things stand.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// Functions that have instances or waiting calls; bounded by the node's room and queue.
    pub functions: BTreeMap<FunctionId, FunctionCensus>,
    /// Starting, serving and leaving instances.
    pub instances: u32,
    /// Instances that start.
    pub starting: u32,
    /// Instances that were told to end.
    pub leaving: u32,
    /// Bytes that instances hold, measured where they were, else reserved.
    pub memory: u64,
    /// Bytes that they may hold together.
    pub memory_max: u64,
    /// Calls that wait.
    pub waiting: u32,
    /// What was decided so far.
    pub decisions: Decisions,
}

/// How one function stands, all its versions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FunctionCensus {
    /// Instances that start.
    pub starting: u32,
    /// Instances with a call.
    pub busy: u32,
    /// Instances without one.
    pub idle: u32,
    /// Calls that wait.
    pub waiting: u32,
}

// === impl FunctionCensus ===

impl FunctionCensus {
    /// Adds another version or function.
    pub fn add(&mut self, other: Self) {
        self.starting += other.starting;
        self.busy += other.busy;
        self.idle += other.idle;
        self.waiting += other.waiting;
    }
}

// === impl Ending ===

impl Ending {
    /// Whether the instance gets time to end by itself.
    pub(crate) const fn is_gentle(self) -> bool {
        matches!(self, Self::Idle | Self::Replaced)
    }

    pub(crate) const NAMES: [&str; 7] = ["idle", "reclaimed", "yielded", "memory", "spoiled", "replaced", "exited"];
}

// === impl Why ===

impl Why {
    pub(crate) const NAMES: [&str; 5] = ["function_full", "share_full", "node_full", "too_large", "stopping"];
}

// === impl Decisions ===

impl Decisions {
    pub(super) fn ended(&mut self, ending: Ending) {
        self.endings[ending as usize] += 1;
    }

    pub(super) fn refused(&mut self, why: Why) {
        self.refusals[why as usize] += 1;
    }

    /// Instances that ended, by reason.
    pub fn endings(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Ending::NAMES.into_iter().zip(self.endings)
    }

    /// Calls that got no place, by reason.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Why::NAMES.into_iter().zip(self.refusals)
    }
}
