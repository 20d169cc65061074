//! The moment a version comes to be: version, function and deployment in one commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use faas_ports::{Expect, PortError, RuntimeDescription, Write};
use faas_types::{AliasName, Code, Deployment, Digest, Fault, FunctionRecord, ProjectId, Timestamp, VersionRecord};

use crate::aliases::{Moved, Target};
use crate::catalog::{FunctionEntry, decode, function_key, version_key};
use crate::core::encode;
use crate::deploy::NewDeployment;
use crate::engine::Engine;
use crate::functions::{RETRIES, deployment_key};
use crate::triggers::Reconciled;

/// What the check found out.
#[derive(Clone, Copy)]
pub(crate) struct Checked<'a> {
    pub runtime: &'a RuntimeDescription,
    /// How many calls an instance takes at once.
    pub concurrency: u32,
    pub streams_bodies: bool,
    /// The code with what was compiled of it.
    pub prepared: Option<Digest>,
    /// Its packages.
    pub dependencies: Option<Digest>,
}

/// What a commit brought into being.
pub(crate) type Published = (Deployment, Arc<FunctionEntry>, Arc<VersionRecord>);

impl Engine {
    /// Numbers the version, points its alias to it and records the event; again when another writer was first, so that a
    /// change of vars meanwhile does not cost the whole check.
    pub(crate) async fn publish(
        &self,
        project: ProjectId,
        new: &NewDeployment,
        bundle: Digest,
        checked: Checked<'_>,
    ) -> Result<Published, Fault> {
        for _ in 0..RETRIES {
            let (mut record, expect) = self.newest_record(project, new).await?;
            let now = record.moment(self.core.clock.now());
            record.latest_version += 1;
            record.updated_at = now;
            let version = self.version(&record, new, bundle, checked, now);
            let (kind, from) = new.target.aim(&mut record, &version, now)?;
            let alias = new.target.alias();
            let deployment = self.event(&record, alias, Moved { kind, from, note: new.note.clone(), at: now });
            // The triggers are those of the version that `live` points to, so that a trial fires none.
            let triggers = match deployment.to == version.number && *alias == AliasName::live() {
                true => self.core.reconcile_triggers(project, record.id, &new.settings.triggers).await?,
                false => Reconciled::default(),
            };
            let put = |key, value, expect| Write::Put { key, value, expect };
            let mut writes = vec![
                put(version_key(project, record.id, version.number), encode(&version)?, Expect::Absent),
                put(function_key(project, &new.name), encode(&record)?, expect),
                put(deployment_key(project, &deployment), encode(&deployment)?, Expect::Absent),
            ];
            writes.extend(triggers.writes.iter().cloned());
            match self.core.registry.commit(writes).await {
                Ok(revision) => {
                    self.core.learn_triggers(triggers, revision);
                    return Ok((deployment, self.remember(record, revision), Arc::new(version)));
                }
                Err(PortError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Fault::new(Code::Conflict, format!("`{}` is being changed by others", new.name)).with_retry_after(1))
    }

    async fn newest_record(&self, project: ProjectId, new: &NewDeployment) -> Result<(FunctionRecord, Expect), Fault> {
        let key = function_key(project, &new.name);
        match self.core.registry.get(&key).await? {
            Some(entry) => Ok((decode(&key, &entry.value)?, Expect::Revision(entry.revision))),
            None => Ok((self.new_function(project, new.name.clone(), BTreeMap::new())?, Expect::Absent)),
        }
    }

    fn version(
        &self,
        record: &FunctionRecord,
        new: &NewDeployment,
        bundle: Digest,
        checked: Checked<'_>,
        now: Timestamp,
    ) -> VersionRecord {
        VersionRecord {
            id: self.core.ids.mint(now),
            function: record.id,
            number: record.latest_version,
            bundle,
            prepared: checked.prepared,
            dependencies: checked.dependencies,
            file_count: u32::try_from(new.bundle.files.len()).unwrap_or(u32::MAX),
            size: new.bundle.size(),
            settings: new.settings.clone(),
            runtime_exact: format!("{}{}", checked.runtime.name.language(), checked.runtime.exact),
            concurrency: checked.concurrency,
            streams_bodies: checked.streams_bodies,
            note: new.note.clone(),
            author: new.author.clone(),
            preview: matches!(new.target, Target::Preview(..)),
            created_at: now,
        }
    }
}
