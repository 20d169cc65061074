//! Holding a function's accepted runs back, and letting them go.

use std::sync::Arc;

use faas_catalog::FunctionEntry;
use faas_types::Fault;

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
        self.core.runs.paused_changed(entry.record.project, entry.record.id);
        Ok(entry)
    }
}
