//! What a deployment or a rollback does to triggers: those of the manifest become what the version says, in the commit
//! that moves `live`.

use std::collections::BTreeMap;

use faas_catalog::{decode, encode};
use faas_ports::{Collection, Expect, Key, Write};
use faas_types::{AliasName, Fault, FunctionId, ProjectId, Timestamp, TriggerId, TriggerName, TriggerSettings};

use super::record::{TriggerOrigin, TriggerRecord, state_key};
use super::webhook_credentials::CredentialsPlace;
use crate::core::Core;

/// Triggers of one function at the most, those of the manifest and those added by hand together.
pub(super) const ALL_MAX: u32 = 128;

/// What has to be written, and what the table has to learn once it is.
#[derive(Default)]
pub(crate) struct Reconciled {
    pub(crate) writes: Vec<Write>,
    put: Vec<TriggerRecord>,
    /// Keys that have no record any more.
    deleted: Vec<Key>,
    gone: Vec<TriggerId>,
}

/// The owner of the triggers and the time of the change.
#[derive(Clone, Copy)]
struct Occasion {
    project: ProjectId,
    function: FunctionId,
    now: Timestamp,
}

// === impl Core ===

impl Core {
    /// Compares the triggers of a function with those that a version wants.
    pub(crate) async fn reconcile_triggers(
        &self,
        project: ProjectId,
        function: FunctionId,
        wanted: &[TriggerSettings],
    ) -> Result<Reconciled, Fault> {
        let mut stored = self.stored_triggers(project, function).await?;
        let occasion = Occasion { project, function, now: self.clock.now() };
        let mut reconciled = Reconciled::default();
        for settings in wanted {
            let Some(name) = settings.name() else { continue };
            match stored.remove(name) {
                None => reconciled.put(self.fresh_trigger(occasion, settings)?, Expect::Absent)?,
                Some((before, revision)) if before.settings.kind() == settings.kind() => {
                    if let Some(after) = changed(&before, settings, occasion.now) {
                        reconciled.put(after, Expect::Revision(revision))?;
                    }
                }
                // Another type under the same name is another trigger.
                Some((before, revision)) => {
                    reconciled.drop_state(&before);
                    reconciled.put(self.fresh_trigger(occasion, settings)?, Expect::Revision(revision))?;
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

    /// Lets the table know what a commit brought.
    pub(crate) fn learn_triggers(&self, reconciled: Reconciled, revision: u64) {
        reconciled.deleted.iter().for_each(|key| self.triggers.forget(key, revision));
        reconciled.gone.into_iter().for_each(|id| self.trigger_states.forget(id));
        for record in reconciled.put {
            self.triggers.learn(record, revision);
        }
    }

    /// Removes every trigger of a function that is gone.
    pub(crate) async fn drop_triggers(&self, project: ProjectId, function: FunctionId) -> Result<(), Fault> {
        let mut gone = Reconciled::default();
        for (record, _) in self.stored_triggers(project, function).await?.into_values() {
            gone.delete(&record, Expect::Any);
        }
        if !gone.writes.is_empty() {
            let revision = self.registry.commit(std::mem::take(&mut gone.writes)).await?;
            self.learn_triggers(gone, revision);
        }
        Ok(())
    }

    fn fresh_trigger(&self, occasion: Occasion, settings: &TriggerSettings) -> Result<TriggerRecord, Fault> {
        let Occasion { project, function, now } = occasion;
        self.new_trigger(project, function, TriggerOrigin::Manifest, settings.clone(), now)
    }

    /// A trigger that was not there before.
    pub(super) fn new_trigger(
        &self,
        project: ProjectId,
        function: FunctionId,
        origin: TriggerOrigin,
        settings: TriggerSettings,
        now: Timestamp,
    ) -> Result<TriggerRecord, Fault> {
        let id: TriggerId = self.ids.mint(now);
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

    pub(super) async fn stored_triggers(
        &self,
        project: ProjectId,
        function: FunctionId,
    ) -> Result<BTreeMap<TriggerName, (TriggerRecord, u64)>, Fault> {
        let prefix = format!("{function}/");
        let rows = self.registry.list(project, Collection::Triggers, &prefix, None, ALL_MAX * 2).await?;
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

/// The record with what the manifest says now; `None` when nothing changes. One that was added by hand becomes the
/// manifest's, so that a name in a manifest never stops a rollback. What was switched off stays so.
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

fn schedule_of(settings: &TriggerSettings) -> Option<&faas_types::CronSchedule> {
    match settings {
        TriggerSettings::Cron(cron) => Some(&cron.schedule),
        _ => None,
    }
}
