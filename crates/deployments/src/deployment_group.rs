//! Deployment groups: several functions that are deployed in one commit, and rolled back in one.

use std::sync::Arc;

use faas_catalog::{FunctionEntry, decode, encode};
use faas_ports::{Collection, Expect, Key, Write};
use faas_types::{
    AliasName, Code, Deployment, DeploymentGroup, DeploymentId, DeploymentKind, Fault, FunctionName, FunctionRecord,
    GroupMember, Mover, ProjectId, Reason, limits,
};

use crate::alias_moves::deployment_key;
use crate::aliases::Moved;
use crate::deploy::Deployed;
use crate::deployments::Deployments;
use crate::new_deployment::NewDeployment;
use crate::note::check_note;

/// A deployment group that was deployed or rolled back.
pub struct DeployedGroup {
    /// The group's id, which the deployment of each function names.
    pub id: DeploymentId,
    /// The functions, by name.
    pub deployed: Vec<Deployed>,
    /// Functions that a rollback could not move.
    pub unmoved: Vec<Unmoved>,
}

/// A function that a rollback did not move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmoved {
    /// Its name.
    pub function: FunctionName,
    /// The reason, in one sentence.
    pub why: &'static str,
}

// === impl Deployments ===

impl Deployments {
    /// Deploys several functions: each is sealed and loaded before one commit moves all of them.
    ///
    /// # Errors
    /// As for [`deploy`](Self::deploy), naming the function; `FN_006` for none, too many, or one twice. Nothing has changed
    /// then.
    pub async fn deploy_group(
        self: &Arc<Self>,
        project: ProjectId,
        mut news: Vec<NewDeployment>,
    ) -> Result<DeployedGroup, Fault> {
        let invalid = |message: String| Fault::new(Code::InvalidConfiguration, message);
        let most = limits::GROUP_FUNCTIONS_MAX;
        if !(1..=most).contains(&news.len()) {
            return Err(invalid(format!("functions: 1 to {most} are deployed as a group, not {}", news.len())));
        }
        news.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(twice) = news.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(invalid(format!("functions: `{}` is among them twice", twice[0].name)));
        }
        let id = self.deps.ids.mint(self.deps.clock.now());
        let deployed = self.deploy_each(project, news, Some(id)).await?;
        Ok(DeployedGroup { id, deployed, unmoved: Vec::new() })
    }

    /// Moves every function of a group back to where it was before, in one commit. A function that was new then, or was
    /// deleted since, is left as it is.
    ///
    /// # Errors
    /// `FN_013` for an unknown group; `FN_014` when one of the functions moved since or is being deployed.
    pub async fn rollback_group(
        &self,
        project: ProjectId,
        id: DeploymentId,
        note: Option<String>,
        by: Mover,
    ) -> Result<DeployedGroup, Fault> {
        check_note(note.as_deref())?;
        let key = group_key(project, id);
        let stored = self.deps.registry.get(&key).await?.ok_or_else(|| unknown(id))?;
        let before: DeploymentGroup = decode(&key, &stored.value)?;
        let _locks = self.lock_functions(project, before.members.iter().map(|one| &one.name))?;
        let back: DeploymentId = self.deps.ids.mint(self.deps.clock.now());
        let (mut steps, mut unmoved) = (Vec::new(), Vec::new());
        for one in &before.members {
            match (self.deps.catalog.by_id(project, one.function), one.from) {
                (Some(entry), Some(to)) => {
                    let word = (by.clone(), note.as_deref());
                    steps.push(self.step_back(&entry, one.to, to, back, word).await?);
                }
                (Some(_), None) => {
                    unmoved.push(Unmoved { function: one.name.clone(), why: "it had no version before" });
                }
                (None, _) => unmoved.push(Unmoved { function: one.name.clone(), why: "it was deleted since" }),
            }
        }
        if steps.is_empty() {
            let message = format!("no function of {id} can go back: none had a version before, or is still there");
            return Err(Fault::new(Reason::VersionNotFound, message));
        }
        let deployed = self.move_group(project, back, steps).await?;
        Ok(DeployedGroup { id: back, deployed, unmoved })
    }

    async fn step_back(
        &self,
        entry: &FunctionEntry,
        expected: u32,
        to: u32,
        group: DeploymentId,
        (by, note): (Mover, Option<&str>),
    ) -> Result<Step, Fault> {
        let name = &entry.record.name;
        if entry.live_version() != Some(expected) {
            let now = entry.live_version().map_or_else(|| "none".to_owned(), |version| version.to_string());
            let message = format!("`{name}` serves version {now} since, not {expected}");
            return Err(Fault::new(Reason::ChangedMeanwhile, message).with_command_hint(format!(
                "move the functions one by one, such as `faas rollback {name} --to {to}`"
            )));
        }
        let version = self.deps.catalog.version(entry, to).await?;
        let mut record = entry.record.clone();
        let now = record.moment(self.deps.clock.now());
        let from = record.point(AliasName::live(), &version, now);
        record.updated_at = now;
        let moved = Moved { kind: DeploymentKind::Rollback, by, from, note: note.map(str::to_owned), at: now };
        let event = self.event(&mut record, &AliasName::live(), moved);
        let deployment = Deployment { group: Some(group), ..event };
        let triggers = self.deps.triggers.reconcile(record.project, record.id, &version.settings.triggers).await?;
        Ok(Step { record, revision: entry.revision, deployment, version, triggers })
    }

    async fn move_group(&self, project: ProjectId, id: DeploymentId, steps: Vec<Step>) -> Result<Vec<Deployed>, Fault> {
        let mut writes = vec![group_write(project, id, steps.iter().map(|step| (&step.record, &step.deployment)))?];
        for Step { record, revision, deployment, triggers, .. } in &steps {
            let put = |key, value, expect| Write::Put { key, value, expect };
            let key = faas_catalog::function_key(project, &record.name);
            writes.push(put(key, encode(record)?, Expect::Revision(*revision)));
            writes.push(put(deployment_key(project, deployment), encode(deployment)?, Expect::Absent));
            writes.extend(triggers.writes.iter().cloned());
        }
        let revision = self.deps.registry.commit(writes).await?;
        let mut deployed = Vec::with_capacity(steps.len());
        for Step { record, deployment, version, triggers, .. } in steps {
            self.deps.triggers.learn(triggers, revision);
            let entry = self.deps.functions.take_in(record, revision).await;
            deployed.push(Deployed::moved(deployment, entry, version));
        }
        Ok(deployed)
    }
}

/// The move of one function in a rollback.
struct Step {
    record: FunctionRecord,
    /// The revision of the record that it was made from.
    revision: u64,
    deployment: Deployment,
    version: Arc<faas_types::VersionRecord>,
    triggers: faas_triggers::Reconciled,
}

/// The write of a group's record.
pub(crate) fn group_write<'d>(
    project: ProjectId,
    id: DeploymentId,
    moves: impl Iterator<Item = (&'d FunctionRecord, &'d Deployment)> + Clone,
) -> Result<Write, Fault> {
    let one = |(record, deployment): (&FunctionRecord, &Deployment)| GroupMember {
        function: record.id,
        name: record.name.clone(),
        from: deployment.from,
        to: deployment.to,
    };
    let first = moves.clone().next().map(|(_, deployment)| deployment);
    let record = DeploymentGroup {
        id,
        members: moves.map(one).collect(),
        rollback: first.is_some_and(|deployment| deployment.rollback),
        note: first.and_then(|deployment| deployment.note.clone()),
        at: first.map_or_else(|| id.created_at(), |deployment| deployment.at),
    };
    Ok(Write::Put { key: group_key(project, id), value: encode(&record)?, expect: Expect::Absent })
}

/// Keys of groups lie beside those of deployments, which begin with a function's id.
fn group_key(project: ProjectId, id: DeploymentId) -> Key {
    Key::new(project, Collection::Deployments, format!("groups/{id}"))
}

fn unknown(id: DeploymentId) -> Fault {
    Fault::new(Reason::DeploymentGroupNotFound, format!("no deployment group has the id {id}"))
        .with_command_hint("`faas deploy` prints the id; a single function is moved back by `faas rollback NAME`")
}
