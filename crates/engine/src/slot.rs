//! One live instance, with what calls leave behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use faas_ports::{Instance, LaunchTimings};

use crate::meter::Meter;
use crate::places::SlotId;
use crate::readiness::Readiness;
use crate::stages::Redactor;

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
    /// An instance that is ready now.
    pub(crate) fn new(
        id: SlotId,
        instance: Arc<dyn Instance>,
        timings: LaunchTimings,
        redactor: Option<Arc<Redactor>>,
    ) -> Self {
        let inhabitants = || Some(Inhabitants { tasks: instance.tasks()?, processes: instance.processes()? });
        let at_rest = if instance.concurrency() == 1 { inhabitants() } else { None };
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
        let Some(Inhabitants { tasks, processes }) = self.at_rest else { return true };
        self.instance.tasks().is_none_or(|now| now <= tasks)
            || self.instance.processes().is_none_or(|now| now <= processes)
    }
}
