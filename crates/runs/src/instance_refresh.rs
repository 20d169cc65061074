//! Brings the scheduler's pools in line with changes of the catalog.

use std::sync::Arc;

use async_trait::async_trait;
use faas_catalog::{FunctionEntry, InstanceRefresher};
use faas_scheduler::PoolKey;
use faas_types::ProjectId;

use crate::runs::Runs;

// === impl Runs ===

#[async_trait]
impl InstanceRefresher for Runs {
    async fn function_changed(&self, entry: &Arc<FunctionEntry>) {
        let record = &entry.record;
        self.load_versions(entry).await;
        let is_reached = |key: &PoolKey| record.is_in(key.stage, key.version);
        let is_current = |key: &PoolKey| self.is_current(entry, key).unwrap_or(true);
        self.scheduler.close_pools(record.id, |key| is_reached(key) && is_current(key));
        self.keep_minimum(entry).await;
        // It may have been resumed. Where nothing waits, there is nothing to look for.
        if self.dispatch.backlog.of(record.id) > 0 {
            self.dispatch.queues.sign((record.project, record.id));
        }
    }

    async fn vars_changed(&self, project: ProjectId) {
        for id in self.scheduler.functions() {
            let Some(entry) = self.catalog.by_id(project, id) else { continue };
            self.load_versions(&entry).await;
            self.scheduler.close_pools(id, |key| self.is_current(&entry, key).unwrap_or(true));
            self.keep_minimum(&entry).await;
        }
    }
}

impl Runs {
    /// Brings the versions of a function's pools into memory, where [`is_current`](Self::is_current) finds them.
    async fn load_versions(&self, entry: &FunctionEntry) {
        for number in self.scheduler.versions_of(entry.record.id) {
            if let Err(fault) = self.catalog.version(entry, number).await {
                tracing::warn!(function = %entry.record.name, error = %fault, "a version that serves cannot be read");
            }
        }
    }
}
