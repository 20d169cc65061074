//! Reading and changing the vars of stages and functions.

use std::collections::BTreeMap;
use std::sync::Arc;

use faas_ports::{Expect, PortError, Registry, Write};
use faas_types::{Code, Fault, ProjectId, Reason, Stage, VersionRecord};

use crate::function_entry::FunctionEntry;
use crate::functions::Functions;
use crate::instance_refresher::InstanceRefresher;
use crate::records::{RETRIES, decode, encode};
use crate::vars::{EffectiveVar, VarScope, VarStore, check_vars, stage_vars_key};

/// Ports and services that changing vars needs.
#[expect(missing_docs, reason = "each field is the port or service of its type")]
pub struct VarDeps {
    pub registry: Arc<dyn Registry>,
    pub vars: Arc<VarStore>,
    pub functions: Arc<Functions>,
    pub refresher: Arc<dyn InstanceRefresher>,
}

/// The vars of stages, which all functions of a project share, and of single functions. Instances with other vars than they
/// should have are replaced after each change.
pub struct VarSettings {
    deps: VarDeps,
}

// === impl VarSettings ===

impl VarSettings {
    /// The service on its ports.
    pub fn new(deps: VarDeps) -> Self {
        Self { deps }
    }

    /// The vars that a stage of a project gives all functions, inherited ones included.
    #[must_use]
    pub fn of_stage(&self, project: ProjectId, stage: Stage) -> BTreeMap<String, EffectiveVar> {
        let vars = self.deps.vars.of(project);
        VarScope { project, stage, vars: &vars, settings: None, record: None }.effective()
    }

    /// The vars of a function in a stage, as they were written, with those of the manifest of `version` if there is a version.
    #[must_use]
    pub fn of_function(
        &self,
        entry: &FunctionEntry,
        version: Option<&VersionRecord>,
        stage: Stage,
    ) -> BTreeMap<String, EffectiveVar> {
        let project = entry.record.project;
        let vars = self.deps.vars.of(project);
        let settings = version.map(|version| &version.settings);
        VarScope { project, stage, vars: &vars, settings, record: Some(&entry.record) }.effective()
    }

    /// The version whose manifest counts in a stage: where an alias of that stage points to, or else `live`.
    #[must_use]
    pub fn version_of(&self, entry: &FunctionEntry, stage: Stage) -> Option<u32> {
        let own = entry.record.aliases.iter().find(|(name, _)| name.as_str() == stage.as_str());
        own.map(|(_, alias)| alias.version).or_else(|| entry.live_version())
    }

    /// The vars that a stage itself gives all functions.
    #[must_use]
    pub fn own_of_stage(&self, project: ProjectId, stage: Stage) -> BTreeMap<String, String> {
        self.deps.vars.of(project).vars(stage).cloned().unwrap_or_default()
    }

    /// Sets vars of a stage for all functions of a project; others stay. `allows` sees those that the stage has before, in the same
    /// commit.
    ///
    /// # Errors
    /// What `allows` refuses; `FN_006` naming the var that is wrong or refers to a secret that the stage lacks.
    pub async fn set_for_stage(
        &self,
        project: ProjectId,
        stage: Stage,
        vars: BTreeMap<String, String>,
        allows: impl Fn(&BTreeMap<String, String>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.deps.vars.check(project, stage, &vars)?;
        self.change_stage(project, stage, |all| {
            allows(all)?;
            all.extend(vars.clone());
            check_vars(all)
        })
        .await
    }

    /// Removes a var of a stage.
    ///
    /// # Errors
    /// What `allows` refuses; `FN_013` when the stage itself has none of that name.
    pub async fn unset_for_stage(
        &self,
        project: ProjectId,
        stage: Stage,
        key: &str,
        allows: impl Fn(&BTreeMap<String, String>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.change_stage(project, stage, |all| {
            allows(all)?;
            match all.remove(key) {
                Some(_) => Ok(()),
                None => {
                    let shown: String = key.chars().take(80).collect();
                    Err(Fault::new(Reason::VarNotFound, format!("stage {stage} itself has no var `{shown}`"))
                        .with_hint("a var that is inherited is removed where it was set"))
                }
            }
        })
        .await
    }

    /// Sets vars of a function in a stage; others stay.
    ///
    /// # Errors
    /// `FN_006` naming the var that is wrong or refers to a secret that the stage lacks.
    pub async fn set_for_function(
        &self,
        entry: &FunctionEntry,
        stage: Stage,
        vars: BTreeMap<String, String>,
    ) -> Result<Arc<FunctionEntry>, Fault> {
        self.deps.vars.check(entry.record.project, stage, &vars)?;
        self.deps
            .functions
            .update(entry, |record| {
                let all = record.vars_of_mut(stage);
                all.extend(vars.clone());
                check_vars(all)
            })
            .await
    }

    /// Removes a var that was set through the API for a function in a stage.
    ///
    /// # Errors
    /// `FN_013` when it was not.
    pub async fn unset_for_function(
        &self,
        entry: &FunctionEntry,
        stage: Stage,
        key: &str,
    ) -> Result<Arc<FunctionEntry>, Fault> {
        self.deps
            .functions
            .update(entry, |record| match record.vars_of_mut(stage).remove(key) {
                Some(_) => {
                    record.stage_vars.retain(|_, vars| !vars.is_empty());
                    Ok(())
                }
                None => {
                    let shown: String = key.chars().take(80).collect();
                    let message = format!("no var `{shown}` was set for `{}` in stage {stage}", record.name);
                    Err(Fault::new(Reason::VarNotFound, message).with_hint(
                        "vars of the manifest are changed there and deployed, inherited ones where they were set",
                    ))
                }
            })
            .await
    }

    async fn change_stage(
        &self,
        project: ProjectId,
        stage: Stage,
        change: impl Fn(&mut BTreeMap<String, String>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let key = stage_vars_key(project, stage);
        for _ in 0..RETRIES {
            let (mut all, expect): (BTreeMap<String, String>, _) = match self.deps.registry.get(&key).await? {
                Some(entry) => (decode(&key, &entry.value)?, Expect::Revision(entry.revision)),
                None => (BTreeMap::new(), Expect::Absent),
            };
            change(&mut all)?;
            let value = encode(&all)?;
            if value.len() > faas_ports::VALUE_MAX {
                let message = format!("the vars of stage {stage} together are larger than {}", faas_ports::VALUE_MAX);
                return Err(Fault::new(Code::InvalidConfiguration, message));
            }
            let write = Write::Put { key: key.clone(), value, expect };
            match self.deps.registry.commit(vec![write]).await {
                Ok(revision) => {
                    self.deps.vars.learn_vars(project, stage, all, revision);
                    self.deps.refresher.vars_changed(project).await;
                    return Ok(());
                }
                Err(PortError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Fault::new(Reason::ChangedMeanwhile, format!("the vars of stage {stage} are being changed by others"))
            .with_retry_after(1))
    }
}
