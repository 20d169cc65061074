//! The state of the scheduler at one moment.

use std::collections::{BTreeMap, BTreeSet};

use faas_types::FunctionId;

use super::counters::SchedulerCounters;
use super::pool::Pool;
use super::{Handles, Scheduler};

/// The state of the scheduler at one moment.
#[derive(Clone, Debug, Default)]
pub struct SchedulerSnapshot {
    /// Functions that have instances or waiting calls; bounded by the node's capacity and queue.
    pub functions: BTreeMap<FunctionId, FunctionLoad>,
    /// Starting, serving and terminating instances.
    pub instances: u32,
    /// Instances that start.
    pub starting: u32,
    /// Instances that were told to stop and still run.
    pub terminating: u32,
    /// Bytes that instances hold: measured where they were measured, else reserved.
    pub memory: u64,
    /// Bytes that all instances may hold.
    pub memory_max: u64,
    /// Calls that wait.
    pub waiting: u32,
    /// What was decided since the server started.
    pub counters: SchedulerCounters,
}

/// Instances and waiting calls of one function, all versions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FunctionLoad {
    /// Instances that start.
    pub starting: u32,
    /// Instances with a call.
    pub busy: u32,
    /// Instances without a call.
    pub idle: u32,
    /// Calls that wait.
    pub waiting: u32,
}

// === impl FunctionLoad ===

impl FunctionLoad {
    /// Adds another version or function.
    pub fn add(&mut self, other: Self) {
        self.starting += other.starting;
        self.busy += other.busy;
        self.idle += other.idle;
        self.waiting += other.waiting;
    }
}

// === impl Scheduler ===

impl<H: Handles> Scheduler<H> {
    /// The state at this moment.
    pub(crate) fn snapshot(&self) -> SchedulerSnapshot {
        let mut functions = BTreeMap::<FunctionId, FunctionLoad>::new();
        for pool in self.pools.values().filter(|pool| !pool.is_empty()) {
            functions.entry(pool.key.function).or_default().add(FunctionLoad {
                starting: pool.starting,
                busy: pool.instances.in_use(),
                idle: pool.instances.idle(),
                waiting: pool.waiting(),
            });
        }
        SchedulerSnapshot {
            functions,
            instances: self.capacity.used().instances,
            starting: self.capacity.starting(),
            terminating: self.capacity.terminating(),
            memory: self.capacity.used().memory,
            memory_max: self.capacity.limits().memory,
            waiting: self.waiting,
            counters: self.counters.clone(),
        }
    }

    /// Starting, serving and terminating instances.
    pub(crate) fn instances(&self) -> u32 {
        self.capacity.used().instances
    }

    /// The versions of a function that have an instance or a waiting call.
    pub(crate) fn versions_in_use(&self, function: FunctionId) -> Vec<u32> {
        let pools = self.by_function.get(&function).into_iter().flatten().filter_map(|id| self.pools.get(id));
        pools.filter(|pool| !pool.is_empty()).map(|pool| pool.key.version).collect()
    }

    /// Starting and serving instances of a function.
    pub(crate) fn instances_of(&self, function: FunctionId) -> u32 {
        let pools = self.by_function.get(&function).into_iter().flatten();
        pools.filter_map(|id| self.pools.get(id)).map(Pool::instances).sum()
    }

    /// The functions that have pools.
    pub(crate) fn functions(&self) -> Vec<FunctionId> {
        self.by_function.keys().copied().collect()
    }

    /// The versions that a function has pools of.
    pub(crate) fn versions_of(&self, function: FunctionId) -> BTreeSet<u32> {
        let ids = self.by_function.get(&function).into_iter().flatten();
        ids.filter_map(|id| self.pools.get(id)).map(|pool| pool.key.version).collect()
    }
}
