//! How many accepted runs have not ended, so that too many are refused before they are accepted.

use std::collections::HashMap;

use faas_ports::QueueDepth;
use faas_types::{Code, Fault, FunctionId, FunctionName, ProjectId, limits};
use parking_lot::Mutex;

/// Runs that have not ended, by owner.
pub(crate) struct Backlog {
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    functions: HashMap<FunctionId, u64>,
    projects: HashMap<ProjectId, u64>,
}

// === impl Backlog ===

impl Backlog {
    pub(crate) fn new(depths: Vec<QueueDepth>) -> Self {
        let mut counts = Counts::default();
        for depth in depths {
            let all = depth.waiting + depth.leased;
            *counts.functions.entry(depth.function).or_default() += all;
            *counts.projects.entry(depth.project).or_default() += all;
        }
        Self { counts: Mutex::new(counts) }
    }

    /// Counts a run in, or refuses it. Whoever counted it in counts it out when it is not accepted after all.
    pub(crate) fn enter(
        &self,
        project: ProjectId,
        function: FunctionId,
        name: &FunctionName,
        max: u32,
    ) -> Result<(), Fault> {
        let mut counts = self.counts.lock();
        let (own, all) = (counts.of(function), counts.projects.get(&project).copied().unwrap_or_default());
        if own >= u64::from(max) {
            return Err(Fault::new(Code::RateLimited, format!("{own} runs of `{name}` wait already"))
                .with_hint("send less, or raise `background.backlog_max` in the manifest")
                .with_retry_after(5));
        }
        if all >= limits::PROJECT_BACKLOG_MAX {
            return Err(Fault::new(Code::Overloaded, format!("{all} runs of this project wait already"))
                .with_hint("try again when some have ended")
                .with_retry_after(10));
        }
        *counts.functions.entry(function).or_default() += 1;
        *counts.projects.entry(project).or_default() += 1;
        Ok(())
    }

    /// Counts a run in, however many wait.
    pub(crate) fn admit(&self, project: ProjectId, function: FunctionId) {
        let mut counts = self.counts.lock();
        *counts.functions.entry(function).or_default() += 1;
        *counts.projects.entry(project).or_default() += 1;
    }

    /// A run has ended, or was not accepted.
    pub(crate) fn leave(&self, project: ProjectId, function: FunctionId) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.functions.get_mut(&function) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.functions.remove(&function);
            }
        }
        if let Some(count) = counts.projects.get_mut(&project) {
            *count = count.saturating_sub(1);
        }
    }

    /// Runs of a function that have not ended.
    pub(crate) fn of(&self, function: FunctionId) -> u64 {
        self.counts.lock().of(function)
    }
}

// === impl Counts ===

impl Counts {
    fn of(&self, function: FunctionId) -> u64 {
        self.functions.get(&function).copied().unwrap_or_default()
    }
}
