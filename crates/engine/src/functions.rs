//! Moving aliases with their deployment in one commit, and deleting functions.

use std::collections::BTreeMap;
use std::sync::Arc;

use faas_catalog::{FunctionEntry, RETRIES, changed_by_others, decode, encode, no_version, version_key};
use faas_ports::{Collection, Expect, Key, Write};
use faas_types::{
    AliasName, Code, Deployment, DeploymentKind, Fault, FunctionRecord, Mover, ProjectId, Stage, VersionRecord,
};

use crate::aliases::Moved;
use crate::deployments::Deployments;

/// Rows removed in one commit when a function is deleted.
const DELETE_BATCH: u32 = 200;

impl Deployments {
    /// Replaces the vars that were set through the API, and moves `live`, as far as given.
    ///
    /// # Errors
    /// `FN_013` when there is no such version, `FN_006` for bad vars.
    pub async fn change_function(
        &self,
        entry: &FunctionEntry,
        vars: Option<BTreeMap<String, String>>,
        version: Option<u32>,
        by: Mover,
    ) -> Result<Arc<FunctionEntry>, Fault> {
        if let Some(vars) = &vars {
            self.core.vars.check(entry.record.project, Stage::Prod, vars)?;
        }
        let version = match version {
            Some(number) => Some(self.core.catalog.version(entry, number).await?),
            None => None,
        };
        self.update(entry, |record| {
            if let Some(vars) = &vars {
                record.vars.clone_from(vars);
            }
            Ok(version.as_ref().map(|version| self.move_live(record, version, by.clone())))
        })
        .await
    }

    /// Moves `live`, and returns the event to store with the record.
    fn move_live(&self, record: &mut FunctionRecord, version: &VersionRecord, by: Mover) -> Deployment {
        let now = record.moment(self.core.clock.now());
        let from = record.point(AliasName::live(), version, now);
        self.event(record, &AliasName::live(), Moved { kind: DeploymentKind::Set, by, from, note: None, at: now })
    }

    /// Applies `change` to the newest record, again when another writer was first. Stores the deployment that it returns in
    /// the same commit.
    pub(crate) async fn update(
        &self,
        entry: &FunctionEntry,
        change: impl Fn(&mut FunctionRecord) -> Result<Option<Deployment>, Fault>,
    ) -> Result<Arc<FunctionEntry>, Fault> {
        Ok(self.shift(entry, change).await?.0)
    }

    /// The same, and gives the deployment that was stored.
    pub(crate) async fn shift(
        &self,
        entry: &FunctionEntry,
        change: impl Fn(&mut FunctionRecord) -> Result<Option<Deployment>, Fault>,
    ) -> Result<(Arc<FunctionEntry>, Option<Deployment>), Fault> {
        for _ in 0..RETRIES {
            let mut stored = self.functions.stored(entry).await?;
            let deployment = change(&mut stored.record)?;
            let mut writes = Vec::new();
            let mut triggers = None;
            if let Some(deployment) = &deployment {
                let record = &stored.record;
                self.check_targets(entry, record, deployment).await?;
                if deployment.alias == AliasName::live() {
                    let version = self.core.catalog.version(entry, deployment.to).await?;
                    let reconciled =
                        self.core.triggers.reconcile(record.project, record.id, &version.settings.triggers).await?;
                    writes.extend(reconciled.writes.iter().cloned());
                    triggers = Some(reconciled);
                }
                let key = deployment_key(record.project, deployment);
                writes.push(Write::Put { key, value: encode(deployment)?, expect: Expect::Absent });
            }
            if let Some(revision) = self.functions.try_commit(&mut stored, writes).await? {
                if let Some(triggers) = triggers {
                    self.core.triggers.learn(triggers, revision);
                }
                return Ok((self.functions.take_in(stored.record, revision).await, deployment));
            }
        }
        Err(changed_by_others(&entry.record.name))
    }

    /// Whether what an alias points to is still there. Read after the record whose revision the commit expects: a version
    /// that is dropped later makes the commit fail.
    async fn check_targets(
        &self,
        entry: &FunctionEntry,
        record: &FunctionRecord,
        deployment: &Deployment,
    ) -> Result<(), Fault> {
        let Some(alias) = record.aliases.get(&deployment.alias) else { return Ok(()) };
        for number in alias.split.map(|split| split.version).into_iter().chain([alias.version]) {
            if self.core.registry.get(&version_key(record.project, record.id, number)).await?.is_none() {
                return Err(no_version(&entry.record.name, number));
            }
        }
        Ok(())
    }

    /// Deletes a function with its versions and deployments. Its runs stay until their retention ends.
    ///
    /// # Errors
    /// When the registry cannot be written.
    pub async fn delete_function(&self, entry: &FunctionEntry) -> Result<(), Fault> {
        let FunctionRecord { id, project, name, .. } = &entry.record;
        // The function goes first: what a crash leaves behind is unreachable, never half a function.
        let delete = Write::Delete { key: entry.key(), expect: Expect::Any };
        let revision = self.core.registry.commit(vec![delete]).await?;
        self.core.catalog.forget(*project, name, revision);
        self.core.scheduler.close_pools(*id, |_| false);
        self.core.stats.forget(*id);
        self.core.triggers.delete_all(*project, *id).await?;
        for collection in [Collection::Versions, Collection::Deployments] {
            loop {
                let rows = self.core.registry.list(*project, collection, &format!("{id}/"), None, DELETE_BATCH).await?;
                if rows.is_empty() {
                    break;
                }
                if collection == Collection::Versions {
                    for row in &rows {
                        self.core.bundles.renew_for_instances(&decode(&row.key, &row.value)?).await?;
                    }
                }
                let deletes = rows.into_iter().map(|row| Write::Delete { key: row.key, expect: Expect::Any });
                self.core.registry.commit(deletes.collect()).await?;
            }
        }
        Ok(())
    }

    /// A function's versions, newest first, `limit` at most, and older than `below` where that is given.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn versions(
        &self,
        entry: &FunctionEntry,
        below: Option<u32>,
        limit: usize,
    ) -> Result<Vec<Arc<VersionRecord>>, Fault> {
        let mut versions = Vec::new();
        let stored = self.stored_versions(entry).await?.into_iter().rev();
        for number in stored.filter(|number| below.is_none_or(|below| *number < below)).take(limit) {
            match self.core.catalog.version(entry, number).await {
                Ok(version) => versions.push(version),
                Err(fault) if fault.code == Code::NotFound => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(versions)
    }
}

pub(crate) fn deployment_key(project: ProjectId, deployment: &Deployment) -> Key {
    Key::new(project, Collection::Deployments, format!("{}/{}", deployment.function, deployment.id))
}
