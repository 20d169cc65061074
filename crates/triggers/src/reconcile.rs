//! Triggers of the manifest follow the version that `live` points to: a deployment or rollback changes them in the commit
//! that moves the alias.

use std::collections::BTreeMap;

use faas_catalog::{decode, encode};
use faas_ports::{Collection, Expect, Key, Write};
use faas_types::{
    AliasName, CronSchedule, Fault, FunctionId, ProjectId, Timestamp, TriggerId, TriggerName, TriggerSettings,
};

use super::record::{TriggerOrigin, TriggerRecord, state_key};
use super::service::Triggers;
use super::webhook_credentials::CredentialsPlace;

/// The most triggers of one function, those of the manifest and those of the API together.
pub(super) const TRIGGERS_MAX: u32 = 128;

/// The changes that a version makes to a function's triggers.
#[derive(Default)]
pub struct Reconciled {
    /// What the deployment's commit has to write.
    pub writes: Vec<Write>,
    put: Vec<TriggerRecord>,
    /// Keys of deleted records.
    deleted: Vec<Key>,
    /// Triggers whose state is deleted.
    gone: Vec<TriggerId>,
}

// === impl Triggers ===

impl Triggers {
    /// Compares a function's triggers with those of a version. Nothing changes before the returned writes are committed and
    /// [`learn`](Self::learn) is called.
    ///
    /// # Errors
    /// When the registry cannot be read or the vault cannot seal.
    pub async fn reconcile(
        &self,
        project: ProjectId,
        function: FunctionId,
        wanted: &[TriggerSettings],
    ) -> Result<Reconciled, Fault> {
        let mut stored = self.stored(project, function).await?;
        let now = self.clock.now();
        let new = |settings: &TriggerSettings| {
            self.new_trigger(project, function, TriggerOrigin::Manifest, settings.clone(), now, None)
        };
        let mut reconciled = Reconciled::default();
        for settings in wanted {
            let Some(name) = settings.name() else { continue };
            match stored.remove(name) {
                None => reconciled.put(new(settings)?, Expect::Absent)?,
                Some((before, revision)) if before.settings.kind() == settings.kind() => {
                    if let Some(after) = changed(&before, settings, now) {
                        reconciled.put(after, Expect::Revision(revision))?;
                    }
                }
                // The same name with another type is a new trigger.
                Some((before, revision)) => {
                    reconciled.drop_state(&before);
                    reconciled.put(new(settings)?, Expect::Revision(revision))?;
                }
            }
        }
        for (record, revision) in stored.into_values() {
            if record.origin == TriggerOrigin::Manifest {
                reconciled.delete(&record, Expect::Revision(revision));
            }
        }
        Ok(reconciled)
    }

    /// Takes the changes of a commit into memory. `revision` is the commit's.
    pub fn learn(&self, reconciled: Reconciled, revision: u64) {
        reconciled.deleted.iter().for_each(|key| self.table.forget(key, revision));
        reconciled.gone.into_iter().for_each(|id| self.states.forget(id));
        for record in reconciled.put {
            self.table.learn(record, revision);
        }
    }

    /// Deletes every trigger of a deleted function.
    ///
    /// # Errors
    /// When the registry cannot be read or written.
    pub async fn delete_all(&self, project: ProjectId, function: FunctionId) -> Result<(), Fault> {
        let mut gone = Reconciled::default();
        for (record, _) in self.stored(project, function).await?.into_values() {
            gone.delete(&record, Expect::Any);
        }
        if !gone.writes.is_empty() {
            let revision = self.registry.commit(std::mem::take(&mut gone.writes)).await?;
            self.learn(gone, revision);
        }
        Ok(())
    }

    /// A new trigger. A webhook gets a token and no secret yet.
    pub(super) fn new_trigger(
        &self,
        project: ProjectId,
        function: FunctionId,
        origin: TriggerOrigin,
        settings: TriggerSettings,
        now: Timestamp,
        id: Option<TriggerId>,
    ) -> Result<TriggerRecord, Fault> {
        let id = id.unwrap_or_else(|| self.ids.mint(now));
        let credentials = match settings {
            TriggerSettings::Webhook(_) => Some(CredentialsPlace { vault: &*self.vault, project, trigger: id }.make()?),
            _ => None,
        };
        Ok(TriggerRecord {
            id,
            project,
            function,
            alias: AliasName::live(),
            origin,
            settings,
            enabled: true,
            active_since: now,
            credentials,
            created_at: now,
            updated_at: now,
        })
    }

    async fn stored(
        &self,
        project: ProjectId,
        function: FunctionId,
    ) -> Result<BTreeMap<TriggerName, (TriggerRecord, u64)>, Fault> {
        let prefix = format!("{function}/");
        let rows = self.registry.list(project, Collection::Triggers, &prefix, None, TRIGGERS_MAX * 2).await?;
        let mut stored = BTreeMap::new();
        for row in rows {
            let record: TriggerRecord = decode(&row.key, &row.value)?;
            stored.insert(record.name().clone(), (record, row.revision));
        }
        Ok(stored)
    }
}

// === impl Reconciled ===

impl Reconciled {
    fn put(&mut self, record: TriggerRecord, expect: Expect) -> Result<(), Fault> {
        self.writes.push(Write::Put { key: record.key(), value: encode(&record)?, expect });
        self.put.push(record);
        Ok(())
    }

    fn drop_state(&mut self, record: &TriggerRecord) {
        self.writes.push(Write::Delete { key: state_key(record.project, record.id), expect: Expect::Any });
        self.gone.push(record.id);
    }

    fn delete(&mut self, record: &TriggerRecord, expect: Expect) {
        self.drop_state(record);
        self.writes.push(Write::Delete { key: record.key(), expect });
        self.deleted.push(record.key());
    }
}

/// The record with the manifest's settings; `None` when nothing changes. A trigger of the API that has the same name
/// becomes the manifest's, so that no trigger can make a rollback fail. A trigger that is switched off stays off.
fn changed(before: &TriggerRecord, settings: &TriggerSettings, now: Timestamp) -> Option<TriggerRecord> {
    if before.settings == *settings && before.origin == TriggerOrigin::Manifest {
        return None;
    }
    let mut after = before.clone();
    if schedule_of(&before.settings) != schedule_of(settings) {
        after.active_since = now;
    }
    after.settings = settings.clone();
    after.origin = TriggerOrigin::Manifest;
    after.updated_at = now;
    Some(after)
}

fn schedule_of(settings: &TriggerSettings) -> Option<&CronSchedule> {
    match settings {
        TriggerSettings::Cron(cron) => Some(&cron.schedule),
        _ => None,
    }
}
