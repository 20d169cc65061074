//! Counts what was decided since the server started.

use std::time::Duration;

/// Why an instance was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub(crate) enum StopReason {
    /// No call came for too long.
    Idle,
    /// It was idle, and a function with less needed its capacity.
    Reclaimed,
    /// It had calls, and a function with less needed its capacity.
    Preempted,
    /// It was idle, and memory was short.
    Memory,
    /// Its last call left it unfit for another.
    Unfit,
    /// Its version or its vars were replaced, or the server stops.
    Replaced,
    /// It ended by itself.
    Exited,
}

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum RefusalReason {
    /// The function has its maximum of instances, all busy.
    FunctionFull,
    /// The node is full and the project holds its share of it.
    ShareFull,
    /// The node is full.
    NodeFull,
    /// One instance needs more memory than the whole node has.
    TooLarge,
    /// The server stops.
    Stopping,
}

/// What was decided since the server started.
#[derive(Clone, Debug, Default)]
pub struct SchedulerCounters {
    /// Instances whose start was ordered.
    pub starts: u64,
    /// Starts that failed.
    pub failed_starts: u64,
    stops: [u64; StopReason::NAMES.len()],
    refusals: [u64; RefusalReason::NAMES.len()],
    /// Calls that got their permit after a wait.
    pub waits: u64,
    /// How long they waited, in total.
    pub waited: Duration,
}

// === impl StopReason ===

impl StopReason {
    /// Whether the instance gets time to stop by itself.
    pub(crate) const fn is_graceful(self) -> bool {
        matches!(self, Self::Idle | Self::Replaced)
    }

    pub(crate) const NAMES: [&str; 7] = ["idle", "reclaimed", "preempted", "memory", "unfit", "replaced", "exited"];
}

// === impl RefusalReason ===

impl RefusalReason {
    pub(crate) const NAMES: [&str; 5] = ["function_full", "share_full", "node_full", "too_large", "stopping"];
}

// === impl SchedulerCounters ===

impl SchedulerCounters {
    pub(super) fn stopped(&mut self, reason: StopReason) {
        self.stops[reason as usize] += 1;
    }

    pub(super) fn refused(&mut self, reason: RefusalReason) {
        self.refusals[reason as usize] += 1;
    }

    /// Instances that ended, by reason.
    pub fn stops(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        StopReason::NAMES.into_iter().zip(self.stops)
    }

    /// Calls that were refused, by reason.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        RefusalReason::NAMES.into_iter().zip(self.refusals)
    }
}
