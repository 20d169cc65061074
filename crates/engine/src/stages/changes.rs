//! The vars of a project's stages, and what follows when a stage changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use faas_ports::{Change, Entry, Expect, PortError, Write};
use faas_types::{Code, Fault, ProjectId, Stage, VersionRecord};

use super::book::vars_key;
use super::effective::{EffectiveVar, Outfit};
use crate::catalog::{FunctionEntry, decode};
use crate::core::{Core, encode};
use crate::engine::Engine;
use crate::functions::RETRIES;

impl Engine {
    /// The vars that a stage of a project gives all functions, inherited ones included.
    #[must_use]
    pub fn stage_vars(&self, project: ProjectId, stage: Stage) -> BTreeMap<String, EffectiveVar> {
        let stages = self.core.stages.of(project);
        Outfit { project, stage, stages: &stages, settings: None, record: None }.written()
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
        let stages = self.core.stages.of(project);
        let settings = version.map(|version| &version.settings);
        Outfit { project, stage, stages: &stages, settings, record: Some(&entry.record) }.written()
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
        self.core.check_refs(project, stage, &vars)?;
        self.change_stage_vars(project, stage, |all| {
            all.extend(vars.clone());
            crate::vars::check(all)
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
        let key = vars_key(project, stage);
        for _ in 0..RETRIES {
            let (mut all, expect) = match self.core.registry.get(&key).await? {
                Some(entry) => (decode(&key, &entry.value)?, Expect::Revision(entry.revision)),
                None => (BTreeMap::new(), Expect::Absent),
            };
            change(&mut all)?;
            let value = encode(&all)?;
            if value.len() > faas_ports::VALUE_MAX {
                let message = format!("the vars of stage {stage} together are larger than {}", faas_ports::VALUE_MAX);
                return Err(Fault::new(Code::InvalidConfiguration, message));
            }
            let write = Write::Put { key: key.clone(), value: value.clone(), expect };
            match self.core.registry.commit(vec![write]).await {
                Ok(revision) => {
                    self.core.stages.apply(&Change::Put(Entry { key, value, revision }));
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
    /// Refuses vars that refer to secrets which a stage does not see.
    pub(crate) fn check_refs(
        &self,
        project: ProjectId,
        stage: Stage,
        vars: &BTreeMap<String, String>,
    ) -> Result<(), Fault> {
        crate::vars::check(vars)?;
        let stages = self.stages.of(project);
        for (key, value) in vars {
            let missing = faas_types::secret_refs(value).find(|name| stages.secret(stage, name).is_none());
            if let Some(name) = missing {
                let message = format!("vars.{key}: stage {stage} has no secret `{name}`");
                return Err(
                    Fault::new(Code::InvalidConfiguration, message).with_hint(super::effective::set_it(&name, stage))
                );
            }
        }
        Ok(())
    }

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
