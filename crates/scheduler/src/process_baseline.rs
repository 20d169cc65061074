//! The processes and threads of an instance between calls, to notice what a call leaves behind.

use std::sync::atomic::{AtomicU32, Ordering};

use faas_ports::{Instance, ProcessCount};

/// The fewest processes and threads that were seen while no call ran.
#[derive(Debug)]
pub(crate) struct ProcessBaseline {
    threads: AtomicU32,
    processes: AtomicU32,
}

// === impl ProcessBaseline ===

impl ProcessBaseline {
    /// What runs in an instance that has just become ready. `None` when that is unknown, or when calls overlap, so that a
    /// process cannot be attributed to one of them.
    pub(crate) fn of(instance: &dyn Instance) -> Option<Self> {
        if instance.concurrency() == 1 { instance.process_count().map(Self::new) } else { None }
    }

    fn new(count: ProcessCount) -> Self {
        Self { threads: count.threads.into(), processes: count.processes.into() }
    }

    /// Whether a call left no more than this behind. `tasks` may include tasks that have ended but were not reaped yet.
    pub(crate) fn is_kept(&self, tasks: u32, processes: impl FnOnce() -> Option<u32>) -> bool {
        let threads = self.threads.load(Ordering::Relaxed);
        if tasks <= threads {
            // A thread that ended by itself must not hide one that a call leaves.
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
    fn what_has_ended_does_not_hide_what_a_call_leaves() {
        let baseline = ProcessBaseline::new(ProcessCount { processes: 3, threads: 5 });
        let seen = |tasks, processes| baseline.is_kept(tasks, || Some(processes));
        assert!(seen(5, 99), "processes are not read without need");
        assert!(seen(6, 3), "threads may stay");
        assert!(!seen(6, 4));
        assert!(seen(4, 99), "a thread has ended");
        assert!(seen(5, 2), "and so has a process, while others are there");
        assert!(!seen(5, 3), "of what was there at first only two are left");
        assert!(baseline.is_kept(9, || None), "unknown");
    }
}
