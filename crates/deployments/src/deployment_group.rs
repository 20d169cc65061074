//! Deployment groups: several functions that are deployed in one commit, and rolled back in one.

use std::sync::Arc;

use faas_catalog::{FunctionEntry, encode};
use faas_ports::{Expect, Write};
use faas_types::{
    AliasName, Deployment, DeploymentGroup, DeploymentGroupId, DeploymentKind, DeploymentState, Fault, FunctionName,
    FunctionRecord, Mover, ProjectId, Reason,
};

use crate::aliases::Moved;
use crate::deployed::Deployed;
use crate::deployments::Deployments;
use crate::group_record::moved_group;
use crate::note::check_note;
use crate::records::{group_key, new_writes};

/// A deployment group that was deployed or rolled back.
pub struct DeployedGroup {
    /// The group's id, which the deployment of each function names.
    pub id: DeploymentGroupId,
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
    /// Moves every function of a group back to where it was before, in one commit. A function that was new then, or was
    /// deleted since, is left as it is.
    ///
    /// # Errors
    /// `FN_013` for an unknown group; `FN_014` when one of the functions moved since or is being deployed.
    pub async fn rollback_group(
        &self,
        project: ProjectId,
        id: DeploymentGroupId,
        note: Option<String>,
        by: Mover,
    ) -> Result<DeployedGroup, Fault> {
        check_note(note.as_deref())?;
        let before = self.find_group(project, id).await?;
        if before.state != DeploymentState::Succeeded {
            let state = before.state.as_str();
            return Err(Fault::new(
                Reason::Conflict,
                format!("the group is {state}: it moved nothing that could go back"),
            ));
        }
        let _locks = self.lock_functions(project, before.members.iter().map(|one| &one.name))?;
        let back: DeploymentGroupId = self.deps.ids.mint(self.deps.clock.now());
        let (mut steps, mut unmoved) = (Vec::new(), Vec::new());
        for one in &before.members {
            let entry = one.function.and_then(|function| self.deps.catalog.by_id(project, function));
            match (entry, one.from) {
                (Some(entry), Some(to)) => {
                    let word = (by.clone(), note.as_deref());
                    steps.push(self.step_back(&entry, (one.to, to), back, word).await?);
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
        let deployed = self.move_group(project, back, (steps, &unmoved)).await?;
        Ok(DeployedGroup { id: back, deployed, unmoved })
    }

    async fn step_back(
        &self,
        entry: &FunctionEntry,
        (expected, to): (Option<u32>, u32),
        group: DeploymentGroupId,
        (by, note): (Mover, Option<&str>),
    ) -> Result<Step, Fault> {
        let name = &entry.record.name;
        if entry.live_version() != expected {
            let text = |version: Option<u32>| version.map_or_else(|| "none".to_owned(), |version| version.to_string());
            let (now, expected) = (text(entry.live_version()), text(expected));
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

    async fn move_group(
        &self,
        project: ProjectId,
        id: DeploymentGroupId,
        (steps, unmoved): (Vec<Step>, &[Unmoved]),
    ) -> Result<Vec<Deployed>, Fault> {
        let unmoved = unmoved.iter().map(|one| (one.function.clone(), one.why.to_owned())).collect();
        let moved = moved_group(id, steps.iter().map(|step| &step.deployment));
        let group = DeploymentGroup { unmoved, ..moved };
        let mut writes =
            vec![Write::Put { key: group_key(project, id), value: encode(&group)?, expect: Expect::Absent }];
        for Step { record, revision, deployment, triggers, .. } in &steps {
            let put = |key, value, expect| Write::Put { key, value, expect };
            let key = faas_catalog::function_key(project, &record.name);
            writes.push(put(key, encode(record)?, Expect::Revision(*revision)));
            writes.extend(new_writes(project, deployment)?);
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
