//! The preflight rules of a project: kept in the registry, compiled once for each change.

use std::collections::HashMap;
use std::sync::Arc;

use faas_ports::{Collection, Expect, Key, PortError, Write};
use faas_preflight::{InvalidPolicy, Policies, Policy};
use faas_types::{Author, Code, Fault, PreflightRules, ProjectId, ProjectRules};
use parking_lot::Mutex;

use crate::catalog::decode;
use crate::core::{Core, encode};
use crate::engine::Engine;

/// Compiled rules of projects, each with the revision that they were compiled from.
#[derive(Debug, Default)]
pub(crate) struct CompiledRules(Mutex<HashMap<ProjectId, (u64, Arc<Policy>)>>);

fn key(project: ProjectId) -> Key {
    Key::new(project, Collection::Settings, "preflight")
}

// === impl Engine ===

impl Engine {
    /// The operator's rules, which hold for every project.
    #[must_use]
    pub fn operator_rules(&self) -> &PreflightRules {
        self.core.preflight.rules()
    }

    /// The rules that a project has set, and their revision.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn project_rules(&self, project: ProjectId) -> Result<Option<(ProjectRules, u64)>, Fault> {
        self.core.project_rules(project).await
    }

    /// Replaces the rules of a project; those at `revision` where it is given, of which 0 means none. Returns the new revision.
    ///
    /// # Errors
    /// `FN_006` naming the field of a rule that cannot be used; `FN_014` when another revision is there.
    pub async fn set_project_rules(
        &self,
        project: ProjectId,
        rules: PreflightRules,
        author: Author,
        revision: Option<u64>,
    ) -> Result<(ProjectRules, u64), Fault> {
        let (rules, compiled) = compile(rules).await?;
        let kept = ProjectRules { rules, author, set_at: self.core.clock.now() };
        let expect = match revision {
            None => Expect::Any,
            Some(0) => Expect::Absent,
            Some(revision) => Expect::Revision(revision),
        };
        let write = Write::Put { key: key(project), value: encode(&kept)?, expect };
        let revision = self.core.registry.commit(vec![write]).await.map_err(|error| match error {
            PortError::Conflict { .. } => {
                Fault::new(Code::Conflict, "revision: the rules were changed by others meanwhile")
                    .with_hint("read them again, and change what is there now")
            }
            error => error.into(),
        })?;
        self.core.compiled_rules.0.lock().insert(project, (revision, Arc::new(compiled)));
        Ok((kept, revision))
    }

    /// Leaves a project with the operator's rules alone.
    ///
    /// # Errors
    /// When the registry cannot be written.
    pub async fn reset_project_rules(&self, project: ProjectId) -> Result<(), Fault> {
        self.core.registry.commit(vec![Write::Delete { key: key(project), expect: Expect::Any }]).await?;
        self.core.compiled_rules.0.lock().remove(&project);
        Ok(())
    }
}

// === impl Core ===

impl Core {
    /// What the uploads of a project are held against.
    pub(crate) async fn policies(&self, project: ProjectId) -> Result<Policies, Fault> {
        let operator = Arc::clone(&self.preflight);
        let Some((kept, revision)) = self.project_rules(project).await? else {
            return Ok(Policies { operator, project: None });
        };
        let known = self.compiled_rules.0.lock().get(&project).filter(|(at, _)| *at == revision).cloned();
        if let Some((_, policy)) = known {
            return Ok(Policies { operator, project: Some(policy) });
        }
        let policy = Arc::new(compile(kept.rules).await?.1);
        self.compiled_rules.0.lock().insert(project, (revision, Arc::clone(&policy)));
        Ok(Policies { operator, project: Some(policy) })
    }

    async fn project_rules(&self, project: ProjectId) -> Result<Option<(ProjectRules, u64)>, Fault> {
        let key = key(project);
        match self.registry.get(&key).await? {
            Some(entry) => Ok(Some((decode(&key, &entry.value)?, entry.revision))),
            None => Ok(None),
        }
    }
}

/// A hundred regular expressions take a while.
async fn compile(rules: PreflightRules) -> Result<(PreflightRules, Policy), Fault> {
    let compiled = tokio::task::spawn_blocking(move || Policy::of_project(&rules).map(|policy| (rules, policy))).await;
    let compiled = compiled.map_err(|error| Fault::internal(format!("compiling rules broke off: {error}")))?;
    compiled.map_err(|InvalidPolicy { field, message }| {
        let field = field.trim_start_matches("preflight.");
        Fault::new(Code::InvalidConfiguration, format!("rules.{field} {message}"))
    })
}
