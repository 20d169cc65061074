//! One live instance, with what calls leave behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use faas_ports::{Instance, LaunchTimings, ProcessCount};
use faas_telemetry::Redactor;

use crate::meter::Meter;
use crate::places::SlotId;
use crate::readiness::Readiness;

/// A live instance.
pub(crate) struct Slot {
    pub(crate) id: SlotId,
    /// The instance.
    pub instance: Arc<dyn Instance>,
    /// When and how it became ready.
    pub readiness: Readiness,
    /// What takes its secrets out of whatever is kept; `None` where it has none.
    pub redactor: Option<Arc<Redactor>>,
    /// What it has used, by call.
    pub meter: Meter,
    /// Calls under way.
    calls: AtomicU32,
    at_rest: Option<AtRest>,
}

/// What runs inside while no call does: the fewest that were ever seen.
#[derive(Debug)]
pub(crate) struct AtRest {
    threads: AtomicU32,
    processes: AtomicU32,
}

// === impl Slot ===

impl Slot {
    /// An instance that is ready now.
    pub(crate) fn new(
        id: SlotId,
        instance: Arc<dyn Instance>,
        timings: LaunchTimings,
        redactor: Option<Arc<Redactor>>,
        at_rest: Option<AtRest>,
    ) -> Self {
        let readiness = Readiness { at: Instant::now(), timings };
        Self { id, instance, readiness, redactor, meter: Meter::default(), calls: AtomicU32::new(0), at_rest }
    }

    /// Takes the instance's secrets out of a text.
    pub(crate) fn clean(&self, text: &mut String) {
        if let Some(redactor) = &self.redactor {
            redactor.clean_in_place(text);
        }
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
        let Some(at_rest) = &self.at_rest else { return true };
        self.instance.tasks().is_none_or(|tasks| at_rest.is_kept(tasks, || self.instance.processes()))
    }
}

// === impl AtRest ===

impl AtRest {
    /// What runs in an instance that has just become ready. Nothing where nobody can tell, or where calls overlap, so that
    /// a process cannot be told to be one call's.
    pub(crate) fn of(instance: &dyn Instance) -> Option<Self> {
        if instance.concurrency() == 1 { instance.process_count().map(Self::new) } else { None }
    }

    fn new(count: ProcessCount) -> Self {
        Self { threads: count.threads.into(), processes: count.processes.into() }
    }

    /// Whether no more than this is left after a call. `tasks` may count what has ended and is still in the kernel's books.
    fn is_kept(&self, tasks: u32, processes: impl FnOnce() -> Option<u32>) -> bool {
        let threads = self.threads.load(Ordering::Relaxed);
        if tasks <= threads {
            // What has ended by itself must not make room for what a call leaves.
            if tasks < threads {
                self.threads.store(tasks, Ordering::Relaxed);
            }
            return true;
        }
        processes().is_none_or(|now| now <= self.processes.fetch_min(now, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_makes_no_room_for_what_a_call_leaves() {
        let at_rest = AtRest::new(ProcessCount { processes: 3, threads: 5 });
        let seen = |tasks, processes| at_rest.is_kept(tasks, || Some(processes));
        assert!(seen(5, 99), "processes are not looked at without need");
        assert!(seen(6, 3), "threads may stay");
        assert!(!seen(6, 4));
        assert!(seen(4, 99), "a thread has ended");
        assert!(seen(5, 2), "and so has a process, while others are there");
        assert!(!seen(5, 3), "of what was there at first only two are left");
        assert!(at_rest.is_kept(9, || None), "nobody can tell");
    }
}
