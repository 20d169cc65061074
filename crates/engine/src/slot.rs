//! One live instance, with what calls leave behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use faas_ports::Instance;

use crate::places::SlotId;

/// A live instance.
pub(crate) struct Slot {
    pub(crate) id: SlotId,
    /// The instance.
    pub instance: Arc<dyn Instance>,
    /// Calls under way.
    calls: AtomicU32,
    /// CPU microseconds already attributed to earlier calls.
    cpu_seen: AtomicU64,
    /// What ran inside when it was ready; `None` where nobody can tell, or where calls overlap and a process cannot be
    /// told to be one call's.
    at_rest: Option<Inhabitants>,
}

#[derive(Clone, Copy)]
struct Inhabitants {
    tasks: u32,
    processes: u32,
}

// === impl Slot ===

impl Slot {
    pub(crate) fn new(id: SlotId, instance: Arc<dyn Instance>) -> Self {
        let inhabitants = || Some(Inhabitants { tasks: instance.tasks()?, processes: instance.processes()? });
        let at_rest = if instance.concurrency() == 1 { inhabitants() } else { None };
        Self { id, instance, calls: AtomicU32::new(0), cpu_seen: AtomicU64::new(0), at_rest }
    }

    pub(crate) fn begin(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.calls.load(Ordering::Relaxed) > 0
    }

    /// Whether the last call left no process behind. Costs a read of one small file, and of another where there are more
    /// threads than at first; these may stay.
    pub(crate) fn is_clean(&self) -> bool {
        let Some(Inhabitants { tasks, processes }) = self.at_rest else { return true };
        self.instance.tasks().is_none_or(|now| now <= tasks)
            || self.instance.processes().is_none_or(|now| now <= processes)
    }

    /// CPU microseconds spent since the last call of this method, where the machine can tell.
    pub(crate) fn take_cpu(&self, total: Option<u64>) -> Option<u64> {
        let total = total?;
        let seen = self.cpu_seen.swap(total, Ordering::AcqRel);
        Some(total.saturating_sub(seen))
    }
}
