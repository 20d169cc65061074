//! Holding a function's accepted runs back, and letting them go.

use std::sync::Arc;

use faas_types::{Fault, FunctionId};

use crate::catalog::FunctionEntry;
use crate::engine::Engine;

impl Engine {
    /// Holds back the accepted runs of a function, or lets them go. Runs under way go on, and calls whose callers wait
    /// are served all the time.
    ///
    /// # Errors
    /// When the function is gone or is being changed by others.
    pub async fn pause(&self, entry: &FunctionEntry, paused: bool) -> Result<Arc<FunctionEntry>, Fault> {
        let change = |record: &mut faas_types::FunctionRecord| {
            record.paused = paused;
            Ok(None)
        };
        let entry = self.deployments.update(entry, change).await?;
        self.core.dispatch.lanes.sign((entry.record.project, entry.record.id));
        Ok(entry)
    }

    /// Accepted runs of a function that have not ended.
    #[must_use]
    pub fn backlog_of(&self, function: FunctionId) -> u64 {
        self.core.dispatch.backlog.of(function)
    }
}
