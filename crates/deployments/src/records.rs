//! The records of deployments and groups: where they are stored, and how they are read while one is under way.

use std::sync::Arc;

use faas_catalog::{FunctionEntry, decode, encode};
use faas_ports::{Collection, Entry, Expect, Key, Write};
use faas_types::{
    Deployment, DeploymentGroup, DeploymentGroupId, DeploymentId, Fault, FunctionName, ProjectId, Reason,
};

use crate::deployments::Deployments;
use crate::event_log::{DeploymentEvent, EventLog, EventTail};
use crate::job::Job;

/// Rows read in one page.
const PAGE: u32 = 500;

// === impl Deployments ===

impl Deployments {
    /// What moved a function's aliases, or was to, oldest first.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn list(&self, entry: &FunctionEntry) -> Result<Vec<Deployment>, Fault> {
        let (project, id) = (entry.record.project, entry.record.id);
        let found = self.list_of_name(project, &entry.record.name).await?;
        // A function that had the name before is another.
        Ok(found.into_iter().filter(|one| one.function_id.is_none_or(|function| function == id)).collect())
    }

    /// The deployments under a name, oldest first.
    pub(crate) async fn list_of_name(&self, project: ProjectId, name: &FunctionName) -> Result<Vec<Deployment>, Fault> {
        let prefix = format!("{name}/");
        let (mut after, mut found) = (None::<String>, Vec::new());
        loop {
            let rows =
                self.deps.registry.list(project, Collection::Deployments, &prefix, after.as_deref(), PAGE).await?;
            let Some(last) = rows.last() else { return Ok(found) };
            after = Some(last.key.name.clone());
            for row in &rows {
                found.push(self.as_of_now(decode(&row.key, &row.value)?));
            }
        }
    }

    /// One deployment.
    ///
    /// # Errors
    /// `FN_013` when the project has none of that id.
    pub async fn find(&self, project: ProjectId, id: DeploymentId) -> Result<Deployment, Fault> {
        let unknown = || Fault::new(Reason::DeploymentNotFound, format!("no deployment {id}"));
        let by_id = id_key(project, id);
        let named = self.deps.registry.get(&by_id).await?.ok_or_else(unknown)?;
        let name: FunctionName = decode(&by_id, &named.value)?;
        let key = Key::new(project, Collection::Deployments, format!("{name}/{id}"));
        let stored = self.deps.registry.get(&key).await?.ok_or_else(unknown)?;
        Ok(self.as_of_now(decode(&key, &stored.value)?))
    }

    /// One deployment group.
    ///
    /// # Errors
    /// `FN_013` when the project has none of that id.
    pub async fn find_group(&self, project: ProjectId, id: DeploymentGroupId) -> Result<DeploymentGroup, Fault> {
        let key = group_key(project, id);
        let stored = self.deps.registry.get(&key).await?.ok_or_else(|| unknown_group(id))?;
        let mut group: DeploymentGroup = decode(&key, &stored.value)?;
        if !group.state.is_terminal()
            && let Some(job) = self.jobs.group(id)
        {
            group.state = job.whole_state();
        }
        Ok(group)
    }

    /// The groups of a project, oldest first.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn list_groups(&self, project: ProjectId) -> Result<Vec<DeploymentGroup>, Fault> {
        let (mut after, mut found) = (None::<String>, Vec::new());
        loop {
            let rows: Vec<Entry> =
                self.deps.registry.list(project, Collection::DeploymentGroups, "", after.as_deref(), PAGE).await?;
            let Some(last) = rows.last() else { return Ok(found) };
            after = Some(last.key.name.clone());
            for row in &rows {
                let mut group: DeploymentGroup = decode(&row.key, &row.value)?;
                if let Some(job) = self.jobs.group(group.id).filter(|_| !group.state.is_terminal()) {
                    group.state = job.whole_state();
                }
                found.push(group);
            }
        }
    }

    /// The events of a deployment after this place, as they come.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn events(&self, project: ProjectId, deployment: &Deployment, after: u64) -> Result<EventTail, Fault> {
        let function = deployment.group.is_some().then(|| deployment.function.clone());
        if let Some(job) = self.jobs.get(deployment.id) {
            return Ok(job.log.tail(function, after));
        }
        let name = deployment.group.map_or_else(|| deployment.id.to_string(), |group| group.to_string());
        Ok(self.stored_events(project, name).await?.tail(function, after))
    }

    /// The events of a group after this place, as they come.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn group_events(
        &self,
        project: ProjectId,
        id: DeploymentGroupId,
        after: u64,
    ) -> Result<EventTail, Fault> {
        if let Some(job) = self.jobs.group(id) {
            return Ok(job.log.tail(None, after));
        }
        Ok(self.stored_events(project, id.to_string()).await?.tail(None, after))
    }

    async fn stored_events(&self, project: ProjectId, name: String) -> Result<Arc<EventLog>, Fault> {
        let key = Key::new(project, Collection::DeploymentEvents, name);
        let events: Vec<DeploymentEvent> = match self.deps.registry.get(&key).await? {
            Some(stored) => decode(&key, &stored.value)?,
            None => Vec::new(),
        };
        Ok(EventLog::ended(events))
    }

    /// What is stored, with how far it is now.
    fn as_of_now(&self, mut deployment: Deployment) -> Deployment {
        if !deployment.state.is_terminal()
            && let Some(state) = self.jobs.get(deployment.id).and_then(|job| job.state(deployment.id))
        {
            deployment.state = state;
        }
        deployment
    }
}

/// The writes of a move of an alias, or of a deployment that was accepted.
pub(crate) fn new_writes(project: ProjectId, deployment: &Deployment) -> Result<[Write; 2], Fault> {
    let put = |key, value| Write::Put { key, value, expect: Expect::Absent };
    Ok([
        put(deployment_key(project, deployment), encode(deployment)?),
        put(id_key(project, deployment.id), encode(&deployment.function)?),
    ])
}

/// The writes that forget a deployment, with its events.
pub(crate) fn delete_writes(project: ProjectId, deployment: &Deployment) -> [Write; 3] {
    let events = Key::new(project, Collection::DeploymentEvents, deployment.id.to_string());
    [deployment_key(project, deployment), id_key(project, deployment.id), events]
        .map(|key| Write::Delete { key, expect: Expect::Any })
}

/// The writes with which deployments that were under way end: their records are written besides.
pub(crate) fn end_writes(job: &Job) -> Result<Vec<Write>, Fault> {
    let name = job.group.map(|group| group.to_string());
    let name = name.or_else(|| Some(job.members.first()?.id.to_string()));
    let key = Key::new(job.project, Collection::DeploymentEvents, name.unwrap_or_default());
    let mut writes = vec![Write::Put { key, value: encode(&job.log.events())?, expect: Expect::Any }];
    let delete = |id| Write::Delete { key: under_way_key(job.project, id), expect: Expect::Any };
    writes.extend(job.members.iter().map(|member| delete(member.id)));
    Ok(writes)
}

pub(crate) fn deployment_key(project: ProjectId, deployment: &Deployment) -> Key {
    Key::new(project, Collection::Deployments, format!("{}/{}", deployment.function, deployment.id))
}

/// Marks a deployment that a server which starts finds unfinished.
pub(crate) fn under_way_key(project: ProjectId, id: DeploymentId) -> Key {
    Key::new(project, Collection::DeploymentsUnderWay, id.to_string())
}

pub(crate) fn group_key(project: ProjectId, id: DeploymentGroupId) -> Key {
    Key::new(project, Collection::DeploymentGroups, id.to_string())
}

fn id_key(project: ProjectId, id: DeploymentId) -> Key {
    Key::new(project, Collection::DeploymentIds, id.to_string())
}

fn unknown_group(id: DeploymentGroupId) -> Fault {
    Fault::new(Reason::DeploymentGroupNotFound, format!("no deployment group has the id {id}"))
        .with_command_hint("`faas deploy` prints the id; a single function is moved back by `faas rollback NAME`")
}
