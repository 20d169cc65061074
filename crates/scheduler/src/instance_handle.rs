//! One live instance, as the driver and its calls see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use faas_ports::{Instance, InstanceUsage, LaunchTimings};
use faas_telemetry::Redactor;

use crate::process_baseline::ProcessBaseline;
use crate::readiness::Readiness;
use crate::scheduler::InstanceRef;
use crate::usage::UsageTracker;

/// A live instance.
pub struct InstanceHandle {
    pub(crate) id: InstanceRef,
    /// The instance.
    pub instance: Arc<dyn Instance>,
    /// When and how it became ready.
    pub readiness: Readiness,
    /// Removes its secrets from what is kept of its output; `None` when it has no secrets.
    pub redactor: Option<Arc<Redactor>>,
    usage: UsageTracker,
    /// Calls under way.
    calls: AtomicU32,
    baseline: Option<ProcessBaseline>,
}

// === impl InstanceHandle ===

impl InstanceHandle {
    /// An instance that is ready now.
    pub(crate) fn new(
        id: InstanceRef,
        instance: Arc<dyn Instance>,
        timings: LaunchTimings,
        redactor: Option<Arc<Redactor>>,
        baseline: Option<ProcessBaseline>,
    ) -> Self {
        let readiness = Readiness { at: Instant::now(), timings };
        let usage = UsageTracker::default();
        Self { id, instance, readiness, redactor, usage, calls: AtomicU32::new(0), baseline }
    }

    /// Removes the instance's secrets from a text.
    #[inline]
    pub fn redact(&self, text: &mut String) {
        if let Some(redactor) = &self.redactor {
            redactor.clean_in_place(text);
        }
    }

    /// What a call that ends now has used. `took` is the time of its handler.
    #[inline]
    pub fn usage_of_call(&self, took: Duration, now: Instant) -> InstanceUsage {
        self.usage.of_call(&*self.instance, took, now)
    }

    pub(crate) fn begin_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end_call(&self) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.calls.load(Ordering::Relaxed) > 0
    }

    /// Whether the last call left no process behind. Reads one small file, and another one when there are more threads than
    /// at first, which may stay.
    pub(crate) fn is_clean(&self) -> bool {
        let Some(baseline) = &self.baseline else { return true };
        self.instance.tasks().is_none_or(|tasks| baseline.is_kept(tasks, || self.instance.processes()))
    }
}
