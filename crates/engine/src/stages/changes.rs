//! The vars of a project's stages, and what follows when a stage changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use faas_catalog::{EffectiveVar, FunctionEntry, RETRIES, VarScope, check_vars, decode, encode, stage_vars_key};
use faas_ports::{Expect, PortError, Write};
use faas_types::{Code, Fault, ProjectId, Stage, VersionRecord};

use crate::core::Core;
use crate::engine::Engine;

impl Engine {
    /// The vars that a stage of a project gives all functions, inherited ones included.
    #[must_use]
    pub fn stage_vars(&self, project: ProjectId, stage: Stage) -> BTreeMap<String, EffectiveVar> {
        let vars = self.core.vars.of(project);
        VarScope { project, stage, vars: &vars, settings: None, record: None }.effective()
    }

    /// The vars of a function in a stage, as they were written: of `version`, or without a manifest where there is none.
    #[must_use]
    pub fn function_vars(
        &self,
        entry: &FunctionEntry,
        version: Option<&VersionRecord>,
        stage: Stage,
    ) -> BTreeMap<String, EffectiveVar> {
        let project = entry.record.project;
        let vars = self.core.vars.of(project);
        let settings = version.map(|version| &version.settings);
        VarScope { project, stage, vars: &vars, settings, record: Some(&entry.record) }.effective()
    }

    /// The version whose manifest counts in a stage: where an alias of that stage points to, or else `live`.
    #[must_use]
    pub fn version_of(&self, entry: &FunctionEntry, stage: Stage) -> Option<u32> {
        let own = entry.record.aliases.iter().find(|(name, _)| name.as_str() == stage.as_str());
        own.map(|(_, alias)| alias.version).or_else(|| entry.live_version())
    }

    /// Sets vars of a stage for all functions of a project; others stay.
    ///
    /// # Errors
    /// `FN_006` naming the var that is wrong or refers to a secret that the stage lacks.
    pub async fn set_stage_vars(
        &self,
        project: ProjectId,
        stage: Stage,
        vars: BTreeMap<String, String>,
    ) -> Result<(), Fault> {
        self.core.vars.check(project, stage, &vars)?;
        self.change_stage_vars(project, stage, |all| {
            all.extend(vars.clone());
            check_vars(all)
        })
        .await
    }

    /// Removes a var of a stage.
    ///
    /// # Errors
    /// `FN_013` when the stage itself has none of that name.
    pub async fn unset_stage_var(&self, project: ProjectId, stage: Stage, key: &str) -> Result<(), Fault> {
        self.change_stage_vars(project, stage, |all| match all.remove(key) {
            Some(_) => Ok(()),
            None => {
                let shown: String = key.chars().take(80).collect();
                Err(Fault::new(Code::NotFound, format!("stage {stage} itself has no var `{shown}`"))
                    .with_hint("a var that is inherited is removed where it was set"))
            }
        })
        .await
    }

    async fn change_stage_vars(
        &self,
        project: ProjectId,
        stage: Stage,
        change: impl Fn(&mut BTreeMap<String, String>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let key = stage_vars_key(project, stage);
        for _ in 0..RETRIES {
            let (mut all, expect): (BTreeMap<String, String>, _) = match self.core.registry.get(&key).await? {
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
            match self.core.registry.commit(vec![write]).await {
                Ok(revision) => {
                    self.core.vars.learn_vars(project, stage, all, revision);
                    self.core.refresh(project).await;
                    return Ok(());
                }
                Err(PortError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Fault::new(Code::Conflict, format!("the vars of stage {stage} are being changed by others"))
            .with_retry_after(1))
    }
}

// === impl Core ===

impl Core {
    /// Replaces the instances of a project's functions that have other vars or secrets than they should. Calls under way
    /// end where they are; idle instances go at once.
    pub(crate) async fn refresh(self: &Arc<Self>, project: ProjectId) {
        for id in self.scheduler.functions() {
            let Some(entry) = self.catalog.by_id(project, id) else { continue };
            self.load_versions(&entry).await;
            self.scheduler.close_pools(id, |key| self.runs.is_current(&entry, key).unwrap_or(true));
            self.runs.keep_minimum(&entry).await;
        }
    }

    /// Brings the versions of a function's pools into memory, where looks at them find them.
    pub(crate) async fn load_versions(&self, entry: &FunctionEntry) {
        for number in self.scheduler.versions_of(entry.record.id) {
            if let Err(fault) = self.catalog.version(entry, number).await {
                tracing::warn!(function = %entry.record.name, error = %fault, "a version that serves cannot be read");
            }
        }
    }
}
