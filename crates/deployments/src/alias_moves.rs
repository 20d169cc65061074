//! Moves of aliases: record, deployment event and triggers in one commit.

use std::sync::Arc;

use faas_catalog::{FunctionEntry, RETRIES, changed_by_others, no_version, version_key};
use faas_types::{AliasName, Deployment, Fault, FunctionRecord};

use crate::deployments::Deployments;
use crate::records::new_writes;

// === impl Deployments ===

impl Deployments {
    /// Applies `change` to the newest record and commits it with the deployment event that `change` returns. Tries again when
    /// another writer was first.
    pub(crate) async fn update(
        &self,
        entry: &FunctionEntry,
        change: impl Fn(&mut FunctionRecord) -> Result<Option<Deployment>, Fault>,
    ) -> Result<Arc<FunctionEntry>, Fault> {
        Ok(self.shift(entry, change).await?.0)
    }

    /// As [`update`](Self::update), but returns the stored deployment event as well.
    pub(crate) async fn shift(
        &self,
        entry: &FunctionEntry,
        change: impl Fn(&mut FunctionRecord) -> Result<Option<Deployment>, Fault>,
    ) -> Result<(Arc<FunctionEntry>, Option<Deployment>), Fault> {
        for _ in 0..RETRIES {
            let mut stored = self.deps.functions.stored(entry).await?;
            let deployment = change(&mut stored.record)?;
            let mut writes = Vec::new();
            let mut triggers = None;
            if let Some(deployment) = &deployment {
                let record = &stored.record;
                self.check_targets(entry, record, deployment).await?;
                if deployment.alias == AliasName::live()
                    && let Some(to) = deployment.to
                {
                    let version = self.deps.catalog.version(entry, to).await?;
                    let reconciled =
                        self.deps.triggers.reconcile(record.project, record.id, &version.settings.triggers).await?;
                    writes.extend(reconciled.writes.iter().cloned());
                    triggers = Some(reconciled);
                }
                writes.extend(new_writes(record.project, deployment)?);
            }
            if let Some(revision) = self.deps.functions.try_commit(&mut stored, writes).await? {
                if let Some(triggers) = triggers {
                    self.deps.triggers.learn(triggers, revision);
                }
                return Ok((self.deps.functions.take_in(stored.record, revision).await, deployment));
            }
        }
        Err(changed_by_others(&entry.record.name))
    }

    /// Refuses an alias that points to a dropped version. Reads versions after the record whose revision the commit expects,
    /// so that dropping one later makes the commit fail.
    async fn check_targets(
        &self,
        entry: &FunctionEntry,
        record: &FunctionRecord,
        deployment: &Deployment,
    ) -> Result<(), Fault> {
        let Some(alias) = record.aliases.get(&deployment.alias) else { return Ok(()) };
        for number in alias.split.map(|split| split.version).into_iter().chain([alias.version]) {
            if self.deps.registry.get(&version_key(record.project, record.id, number)).await?.is_none() {
                return Err(no_version(&entry.record.name, number));
            }
        }
        Ok(())
    }
}
