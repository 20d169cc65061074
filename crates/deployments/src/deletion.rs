//! Deleting functions.

use faas_catalog::{FunctionEntry, Tombstone, decode, encode, tombstone_key};
use faas_ports::{Collection, Expect, PortError, Write};
use faas_types::{Fault, FunctionRecord, Reason};

use crate::deployments::Deployments;

/// Rows removed in one commit.
const BATCH: u32 = 200;

// === impl Deployments ===

impl Deployments {
    /// Deletes a function with its versions and deployments. Its runs stay until their retention ends.
    ///
    /// # Errors
    /// When the registry cannot be written.
    pub async fn delete_function(&self, entry: &FunctionEntry) -> Result<(), Fault> {
        let FunctionRecord { id, project, name, .. } = &entry.record;
        // The function is deleted first: what a crash leaves behind is unreachable, never half a function.
        let delete = Write::Delete { key: entry.key(), expect: entry.expected() };
        let tombstone = encode(&Tombstone { id: *id, deleted_at: self.deps.clock.now() })?;
        let grave = tombstone_key(*project, name);
        let bury = Write::Put { key: grave.clone(), value: tombstone, expect: Expect::Any };
        let revision = match self.deps.registry.commit(vec![delete.clone(), bury]).await {
            // A deletion makes room: it must not want any. The function's runs are then found by its id alone.
            Err(PortError::StorageFull) => {
                let forget_earlier = Write::Delete { key: grave, expect: Expect::Any };
                self.deps.registry.commit(vec![delete, forget_earlier]).await?
            }
            Err(PortError::Conflict { .. }) => {
                let message = format!("`{name}` was changed by others meanwhile");
                return Err(Fault::new(Reason::PreconditionFailed, message));
            }
            committed => committed?,
        };
        self.deps.catalog.forget(*project, name, revision);
        self.deps.scheduler.close_pools(*id, |_| false);
        self.deps.stats.forget(*id);
        self.deps.triggers.delete_all(*project, *id).await?;
        loop {
            let rows = self.deps.registry.list(*project, Collection::Versions, &format!("{id}/"), None, BATCH).await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                self.deps.bundles.renew_for_instances(&decode(&row.key, &row.value)?).await?;
            }
            let deletes = rows.into_iter().map(|row| Write::Delete { key: row.key, expect: Expect::Any });
            self.deps.registry.commit(deletes.collect()).await?;
        }
        loop {
            let writes = self.forgetting(*project, name).await?;
            if writes.is_empty() {
                return Ok(());
            }
            self.deps.registry.commit(writes).await?;
        }
    }
}
