//! What this node has capacity for: instances, memory, and starts at the same time.

/// One instance in this many is reserved for functions that have no instance yet.
const RESERVED_FOR_FIRST: u32 = 50;

/// The limits of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapacityLimits {
    /// Instances of all functions together.
    pub instances: u32,
    /// Bytes of all instances together.
    pub memory: u64,
    /// Instances that start at the same time.
    pub starts: u32,
    /// Calls that wait for all functions together.
    pub waiting: u32,
}

/// What instances use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resources {
    pub instances: u32,
    pub memory: u64,
}

/// The limits of the node, and what is used of them.
#[derive(Debug)]
pub(crate) struct Capacity {
    limits: CapacityLimits,
    /// By starting, serving and terminating instances.
    used: Resources,
    starting: u32,
    /// Told to stop and still running.
    terminating: Resources,
}

/// Whether one more instance can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    Fits,
    /// As many instances start as may at the same time.
    StartLimit,
    /// Other instances use the capacity.
    Full,
    /// Not even an empty node can run it.
    TooLarge,
}

// === impl Resources ===

impl Resources {
    pub(crate) fn one(memory: u64) -> Self {
        Self { instances: 1, memory }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.instances += other.instances;
        self.memory += other.memory;
    }

    pub(crate) fn subtract(&mut self, other: Self) {
        self.instances = self.instances.saturating_sub(other.instances);
        self.memory = self.memory.saturating_sub(other.memory);
    }
}

// === impl Capacity ===

impl Capacity {
    pub(crate) fn new(limits: CapacityLimits) -> Self {
        Self { limits, used: Resources::default(), starting: 0, terminating: Resources::default() }
    }

    pub(crate) fn limits(&self) -> &CapacityLimits {
        &self.limits
    }

    pub(crate) fn used(&self) -> Resources {
        self.used
    }

    pub(crate) fn starting(&self) -> u32 {
        self.starting
    }

    pub(crate) fn terminating(&self) -> u32 {
        self.terminating.instances
    }

    /// Whether one more instance that needs `memory` can start.
    pub(crate) fn fits(&self, memory: u64, is_first: bool) -> Fit {
        let reserved = if is_first { 0 } else { self.limits.instances / RESERVED_FOR_FIRST };
        if memory > self.limits.memory {
            Fit::TooLarge
        } else if self.used.instances + 1 + reserved > self.limits.instances
            || self.used.memory + memory > self.limits.memory
        {
            Fit::Full
        } else if self.starting >= self.limits.starts {
            Fit::StartLimit
        } else {
            Fit::Fits
        }
    }

    /// Whether the instances that stay use more memory than the node has.
    pub(crate) fn is_short_of_memory(&self) -> bool {
        self.used.memory - self.terminating.memory.min(self.used.memory) > self.limits.memory
    }

    pub(crate) fn start(&mut self, memory: u64) {
        self.used.add(Resources::one(memory));
        self.starting += 1;
    }

    /// A start has succeeded or failed.
    pub(crate) fn start_ended(&mut self) {
        self.starting -= 1;
    }

    /// The memory of an instance was measured.
    pub(crate) fn remeasure(&mut self, from: u64, to: u64) {
        self.used.memory = self.used.memory.saturating_sub(from) + to;
    }

    pub(crate) fn terminate(&mut self, memory: u64) {
        self.terminating.add(Resources::one(memory));
    }

    /// An instance that was told to stop has ended.
    pub(crate) fn terminated(&mut self, memory: u64) {
        self.terminating.subtract(Resources::one(memory));
        self.free(memory);
    }

    /// An instance ended that was not told to.
    pub(crate) fn free(&mut self, memory: u64) {
        self.used.subtract(Resources::one(memory));
    }
}
