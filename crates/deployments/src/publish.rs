//! Publishing: version, function and deployment in one commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use faas_catalog::{FunctionEntry, RETRIES, decode, encode, function_key, version_key};
use faas_ports::{Expect, PortError, Write};
use faas_types::{
    AliasName, Deployment, DeploymentGroup, Fault, FunctionRecord, Mover, ProjectId, Reason, Timestamp, VersionRecord,
};

use crate::aliases::{Moved, Target};
use crate::dependencies::Dependencies;
use crate::deployments::Deployments;
use crate::group_record::moved_group;
use crate::job::Job;
use crate::new_deployment::NewDeployment;
use crate::pipeline::SealedVersion;
use crate::records::{deployment_key, end_writes, group_key};
use faas_triggers::Reconciled;

/// A function that a commit published.
pub(crate) type Published = (Deployment, Arc<FunctionEntry>, Arc<VersionRecord>);

/// The writes of one function for the commit, and its records.
struct Draft {
    deployment: Deployment,
    record: FunctionRecord,
    version: VersionRecord,
    triggers: Reconciled,
    writes: Vec<Write>,
}

impl Deployments {
    /// Numbers the versions, points the alias of each to it and records the events, all in one commit. Tries again when
    /// another writer was first, so that a change of vars meanwhile does not fail the deployment.
    pub(crate) async fn publish(&self, job: &Job, sealed: &[SealedVersion]) -> Result<Vec<Published>, Fault> {
        let project = job.project;
        for _ in 0..RETRIES {
            let mut drafts = Vec::with_capacity(sealed.len());
            for one in sealed {
                drafts.push(self.draft(job, one).await?);
            }
            let mut writes: Vec<Write> =
                drafts.iter_mut().flat_map(|draft| std::mem::take(&mut draft.writes)).collect();
            writes.extend(end_writes(job)?);
            if let Some(id) = job.group {
                let begun = self.find_group(project, id).await?;
                let moves = drafts.iter().map(|draft| &draft.deployment);
                let group = DeploymentGroup {
                    request_id: job.request_id.clone(),
                    created_at: begun.created_at,
                    ..moved_group(id, moves)
                };
                writes.push(Write::Put { key: group_key(project, id), value: encode(&group)?, expect: Expect::Any });
            }
            match self.deps.registry.commit(writes).await {
                Ok(revision) => {
                    return Ok(drafts.into_iter().map(|draft| self.take_in(draft, revision)).collect());
                }
                Err(PortError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let names = sealed.iter().map(|one| format!("`{}`", one.new.name)).collect::<Vec<_>>().join(", ");
        Err(Fault::new(Reason::ChangedMeanwhile, format!("{names} is being changed by others")).with_retry_after(1))
    }

    async fn draft(&self, job: &Job, sealed: &SealedVersion) -> Result<Draft, Fault> {
        let (project, new) = (job.project, &sealed.new);
        let member = job.member(&new.name).ok_or_else(|| Fault::internal("a version of another deployment"))?;
        let (mut record, expect) = self.newest_record(project, new).await?;
        let now = record.moment(self.deps.clock.now());
        record.latest_version += 1;
        record.updated_at = now;
        let version = self.version(&record, sealed, now);
        let (kind, from) = new.target.aim(&mut record, &version, now)?;
        let alias = new.target.alias();
        let by = new.author.clone().map_or(Mover::Platform, Mover::Key);
        let event = self.event(&mut record, alias, Moved { kind, by, from, note: new.note.clone(), at: now });
        let deployment = Deployment {
            id: member.id,
            group: job.group,
            expires_at: record.aliases.get(alias).and_then(|alias| alias.expires_at),
            check_ms: Some(u64::try_from(sealed.check.as_millis()).unwrap_or(u64::MAX)),
            packages: sealed.dependencies.as_ref().map(Dependencies::summary),
            request_id: job.request_id.clone(),
            created_at: job.created_at,
            ..event
        };
        // Triggers are those of the version that `live` points to: a canary has none.
        let triggers = if deployment.to == Some(version.number) && *alias == AliasName::live() {
            self.deps.triggers.reconcile(project, record.id, &new.settings.triggers).await?
        } else {
            Reconciled::default()
        };
        let put = |key, value, expect| Write::Put { key, value, expect };
        let mut writes = vec![
            put(version_key(project, record.id, version.number), encode(&version)?, Expect::Absent),
            put(function_key(project, &new.name), encode(&record)?, expect),
            put(deployment_key(project, &deployment), encode(&deployment)?, Expect::Any),
        ];
        writes.extend(triggers.writes.iter().cloned());
        Ok(Draft { deployment, record, version, triggers, writes })
    }

    fn take_in(&self, draft: Draft, revision: u64) -> Published {
        self.deps.triggers.learn(draft.triggers, revision);
        (draft.deployment, self.deps.catalog.learn(draft.record, revision), Arc::new(draft.version))
    }

    async fn newest_record(&self, project: ProjectId, new: &NewDeployment) -> Result<(FunctionRecord, Expect), Fault> {
        let key = function_key(project, &new.name);
        match self.deps.registry.get(&key).await? {
            Some(entry) => Ok((decode(&key, &entry.value)?, Expect::Revision(entry.revision))),
            None => Ok((self.deps.functions.new_record(project, new.name.clone(), BTreeMap::new())?, Expect::Absent)),
        }
    }

    fn version(&self, record: &FunctionRecord, sealed: &SealedVersion, now: Timestamp) -> VersionRecord {
        let SealedVersion { new, runtime, .. } = sealed;
        VersionRecord {
            id: self.deps.ids.mint(now),
            function: record.id,
            number: record.latest_version,
            bundle: sealed.bundle,
            arch: std::env::consts::ARCH.to_owned(),
            compiled: sealed.compiled,
            dependencies: sealed.packages(),
            layers: sealed.layers.clone(),
            file_count: u32::try_from(new.bundle.files.len()).unwrap_or(u32::MAX),
            size: new.bundle.size(),
            settings: new.settings.clone(),
            declaration: Some(new.declaration.clone()),
            runtime_exact: format!("{}{}", runtime.name.language(), runtime.exact),
            concurrency: sealed.concurrency,
            streams_bodies: sealed.streams_bodies,
            note: new.note.clone(),
            author: new.author.clone(),
            preview: matches!(new.target, Target::Preview(..)),
            build_log: sealed.build_log_digest,
            created_at: now,
        }
    }
}
