//! What the catalog asks of the services that run instances.

use std::sync::Arc;

use async_trait::async_trait;
use faas_types::ProjectId;

use crate::function_entry::FunctionEntry;

/// Brings live instances in line with a committed change. Implemented above the scheduler.
#[async_trait]
pub trait InstanceRefresher: Send + Sync {
    /// A function's record changed: pools that no alias reaches any more or whose vars are outdated close, the minimum of
    /// its live version is kept, and its queue of background runs is looked at.
    async fn function_changed(&self, entry: &Arc<FunctionEntry>);

    /// Vars or secrets of a project changed: pools with outdated vars close. Calls under way end as they began; idle
    /// instances end at once.
    async fn vars_changed(&self, project: ProjectId);
}
