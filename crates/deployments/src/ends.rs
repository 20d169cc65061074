//! Ends of deployments that moved nothing: failed, cancelled, dry runs, and those that a stopped server left behind.

use faas_catalog::{decode, encode};
use faas_ports::{Collection, Entry, Expect, Write};
use faas_types::{
    Deployment, DeploymentGroup, DeploymentGroupId, DeploymentId, DeploymentState, Fault, FunctionName, ProjectId,
    Reason, Timestamp,
};

use crate::deployments::Deployments;
use crate::job::{Job, interrupted};
use crate::records::{delete_writes, deployment_key, end_writes, group_key};

/// Ended deployments of a function that moved nothing and are kept.
const UNMOVED_KEPT: usize = 50;
/// The most that are dropped in one commit.
const DROPPED_AT_ONCE: usize = 50;
/// Rows read in one page.
const PAGE: u32 = 200;

// === impl Deployments ===

impl Deployments {
    /// Stores that the deployments of a job ended, with this problem or as a dry run.
    pub(crate) async fn end_unmoved(&self, job: &Job, problem: Option<&Fault>) -> Result<(), Fault> {
        let mut writes = end_writes(job)?;
        let now = self.deps.clock.now();
        for member in &job.members {
            let deployment = self.find(job.project, member.id).await?;
            let ended = ended(deployment, problem, now);
            let (key, value) = (deployment_key(job.project, &ended), encode(&ended)?);
            writes.push(Write::Put { key, value, expect: Expect::Any });
        }
        if let Some(id) = job.group {
            let group = self.find_group(job.project, id).await?;
            writes.push(group_end(job.project, group, problem, now)?);
        }
        self.deps.registry.commit(writes).await?;
        Ok(())
    }

    /// Drops the oldest deployments under a name that moved nothing, beyond what is kept.
    pub(crate) async fn drop_unmoved(&self, project: ProjectId, name: &FunctionName) -> Result<(), Fault> {
        let all = self.list_of_name(project, name).await?;
        let unmoved: Vec<&Deployment> = all.iter().filter(|one| one.state.is_terminal() && one.to.is_none()).collect();
        let old = unmoved.len().saturating_sub(UNMOVED_KEPT).min(DROPPED_AT_ONCE);
        let writes: Vec<Write> = unmoved[..old].iter().flat_map(|one| delete_writes(project, one)).collect();
        if !writes.is_empty() {
            self.deps.registry.commit(writes).await?;
        }
        Ok(())
    }

    /// Ends what was under way when the server stopped. To be called before deployments are accepted.
    ///
    /// # Errors
    /// When the registry cannot be read or written.
    pub async fn end_interrupted(&self) -> Result<(), Fault> {
        let mut after = None;
        loop {
            let page = self.deps.registry.scan(Collection::DeploymentsUnderWay, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key.clone());
            for marker in &page {
                self.end_one_interrupted(marker).await?;
            }
        }
    }

    async fn end_one_interrupted(&self, marker: &Entry) -> Result<(), Fault> {
        let project = marker.key.project;
        let mut writes = vec![Write::Delete { key: marker.key.clone(), expect: Expect::Any }];
        let id: Option<DeploymentId> = marker.key.name.parse().ok();
        let found = match id {
            Some(id) => self.find(project, id).await.map(Some).or_else(|fault| match fault.reason {
                Reason::DeploymentNotFound => Ok(None),
                _ => Err(fault),
            })?,
            None => None,
        };
        let (problem, now) = (interrupted(), self.deps.clock.now());
        if let Some(deployment) = found.filter(|deployment| !deployment.state.is_terminal()) {
            tracing::warn!(deployment = %deployment.id, function = %deployment.function, "a deployment was interrupted");
            if let Some(group) = deployment.group {
                writes.extend(self.interrupted_group(project, group, &problem, now).await?);
            }
            let ended = ended(deployment, Some(&problem), now);
            let (key, value) = (deployment_key(project, &ended), encode(&ended)?);
            writes.push(Write::Put { key, value, expect: Expect::Any });
        }
        self.deps.registry.commit(writes).await?;
        Ok(())
    }

    async fn interrupted_group(
        &self,
        project: ProjectId,
        id: DeploymentGroupId,
        problem: &Fault,
        now: Timestamp,
    ) -> Result<Option<Write>, Fault> {
        let key = group_key(project, id);
        let Some(stored) = self.deps.registry.get(&key).await? else { return Ok(None) };
        let group: DeploymentGroup = decode(&key, &stored.value)?;
        if group.state.is_terminal() { Ok(None) } else { group_end(project, group, Some(problem), now).map(Some) }
    }

    /// The writes that forget every deployment under a name whose function is deleted.
    pub(crate) async fn forgetting(&self, project: ProjectId, name: &FunctionName) -> Result<Vec<Write>, Fault> {
        let all = self.list_of_name(project, name).await?;
        let ended = all.iter().filter(|one| one.state.is_terminal());
        Ok(ended.take(DROPPED_AT_ONCE).flat_map(|one| delete_writes(project, one)).collect())
    }
}

fn group_end(
    project: ProjectId,
    group: DeploymentGroup,
    problem: Option<&Fault>,
    now: Timestamp,
) -> Result<Write, Fault> {
    let group =
        DeploymentGroup { state: ended_state(problem), problem: problem.cloned(), finished_at: Some(now), ..group };
    Ok(Write::Put { key: group_key(project, group.id), value: encode(&group)?, expect: Expect::Any })
}

/// The state of a deployment that ended with this.
fn ended_state(problem: Option<&Fault>) -> DeploymentState {
    match problem {
        None => DeploymentState::Succeeded,
        Some(fault) if fault.reason == Reason::DeploymentCancelled => DeploymentState::Cancelled,
        Some(_) => DeploymentState::Failed,
    }
}

/// The record of a deployment that ended without a move.
fn ended(deployment: Deployment, problem: Option<&Fault>, at: Timestamp) -> Deployment {
    Deployment { state: ended_state(problem), problem: problem.cloned(), finished_at: Some(at), ..deployment }
}
