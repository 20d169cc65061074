//! A run that is counted into the backlog, until the queue has it.

use std::sync::Arc;

use faas_ports::Footprint;
use faas_types::Fault;

use crate::dispatch::{Oversize, QueueKey};
use crate::route::Route;
use crate::runs::Runs;

/// Counts a run out again unless it was handed on.
pub struct BacklogEntry {
    runs: Arc<Runs>,
    owner: Option<(QueueKey, Footprint)>,
}

// === impl BacklogEntry ===

impl BacklogEntry {
    /// Counts a run in, or refuses it.
    pub fn of(runs: &Arc<Runs>, route: &Route, footprint: Footprint, over: Oversize) -> Result<Self, Fault> {
        let function = &route.entry.record;
        let owner = (function.project, function.id);
        let most = route.version.settings.background.backlog_max;
        runs.dispatch.backlog.enter(owner, (&function.name, most), footprint, over)?;
        if let Err(fault) = runs.outbox.reserve(function.project, footprint.reserved) {
            runs.dispatch.backlog.leave(owner, footprint);
            return Err(fault);
        }
        Ok(Self { runs: Arc::clone(runs), owner: Some((owner, footprint)) })
    }

    /// The run is in the queue or on its way; the code that ends or refuses it counts it out.
    pub fn keep(&mut self) {
        self.owner = None;
    }
}

impl Drop for BacklogEntry {
    fn drop(&mut self) {
        if let Some((owner, footprint)) = self.owner {
            self.runs.leave_backlog(owner, footprint);
        }
    }
}

// === impl Runs ===

impl Runs {
    /// A run has ended, or was not accepted.
    pub(crate) fn leave_backlog(&self, owner: QueueKey, footprint: Footprint) {
        self.dispatch.backlog.leave(owner, footprint);
        self.outbox.release(owner.0, footprint.reserved);
    }
}
