//! What this node has room for: instances, memory, and starts at the same time.

/// A newcomer, a function without an instance, finds one place in so many kept for it.
const KEPT_FOR_NEWCOMERS: u32 = 50;

/// The limits of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Instances of all functions together.
    pub instances: u32,
    /// Bytes of all instances together.
    pub memory: u64,
    /// Instances that start at the same time.
    pub starts: u32,
    /// Calls that wait for all functions together.
    pub waiting: u32,
}

/// What instances hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    pub instances: u32,
    pub memory: u64,
}

/// The room and what is taken of it.
#[derive(Debug)]
pub(crate) struct Room {
    limits: Limits,
    /// Starting, serving and leaving instances.
    taken: Holding,
    starting: u32,
    /// Told to end, not gone yet.
    leaving: Holding,
}

/// Whether one more instance can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    Yes,
    /// As many start as may at the same time.
    Later,
    /// Others hold the room.
    Full,
    /// Not even in an empty node.
    Never,
}

// === impl Holding ===

impl Holding {
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

// === impl Room ===

impl Room {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, taken: Holding::default(), starting: 0, leaving: Holding::default() }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn taken(&self) -> Holding {
        self.taken
    }

    pub(crate) fn starting(&self) -> u32 {
        self.starting
    }

    pub(crate) fn leaving(&self) -> u32 {
        self.leaving.instances
    }

    /// Whether one more instance of so much memory can start.
    pub(crate) fn fits(&self, memory: u64, is_newcomer: bool) -> Fit {
        let kept = if is_newcomer { 0 } else { self.limits.instances / KEPT_FOR_NEWCOMERS };
        if memory > self.limits.memory {
            Fit::Never
        } else if self.taken.instances + 1 + kept > self.limits.instances
            || self.taken.memory + memory > self.limits.memory
        {
            Fit::Full
        } else if self.starting >= self.limits.starts {
            Fit::Later
        } else {
            Fit::Yes
        }
    }

    /// Whether those that stay hold more memory than there is.
    pub(crate) fn is_short_of_memory(&self) -> bool {
        self.taken.memory - self.leaving.memory.min(self.taken.memory) > self.limits.memory
    }

    pub(crate) fn start(&mut self, memory: u64) {
        self.taken.add(Holding::one(memory));
        self.starting += 1;
    }

    /// A start has ended, well or not.
    pub(crate) fn started(&mut self) {
        self.starting -= 1;
    }

    /// What an instance holds has changed.
    pub(crate) fn remeasure(&mut self, from: u64, to: u64) {
        self.taken.memory = self.taken.memory.saturating_sub(from) + to;
    }

    pub(crate) fn leave(&mut self, memory: u64) {
        self.leaving.add(Holding::one(memory));
    }

    /// One that was told to end is gone.
    pub(crate) fn left(&mut self, memory: u64) {
        self.leaving.subtract(Holding::one(memory));
        self.give(memory);
    }

    /// One is gone that nobody told to end.
    pub(crate) fn give(&mut self, memory: u64) {
        self.taken.subtract(Holding::one(memory));
    }
}
