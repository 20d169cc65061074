//! The preflight rules of the operator and of projects. Rules of projects are stored in the registry and compiled once for
//! each change.

use std::collections::HashMap;
use std::sync::Arc;

use faas_catalog::{decode, encode};
use faas_ports::{Blobs, Clock, Collection, Expect, Key, PortError, Registry, Write};
use faas_preflight::{InvalidPolicy, Policies, Policy};
use faas_types::{Author, Code, Fault, PreflightRules, ProjectId, ProjectRules, Reason};
use parking_lot::Mutex;

/// The rules that uploads are checked against before any of their code runs.
pub struct UploadRules {
    registry: Arc<dyn Registry>,
    pub(crate) blobs: Arc<dyn Blobs>,
    clock: Arc<dyn Clock>,
    operator: Arc<Policy>,
    /// Compiled rules of projects, each with the revision that they were compiled from.
    compiled: Mutex<HashMap<ProjectId, (u64, Arc<Policy>)>>,
}

fn key(project: ProjectId) -> Key {
    Key::new(project, Collection::Settings, "preflight")
}

// === impl UploadRules ===

impl UploadRules {
    /// The service with the operator's rules.
    #[must_use]
    pub fn new(
        registry: Arc<dyn Registry>,
        blobs: Arc<dyn Blobs>,
        clock: Arc<dyn Clock>,
        operator: Arc<Policy>,
    ) -> Self {
        Self { registry, blobs, clock, operator, compiled: Mutex::default() }
    }

    /// The operator's rules, which hold for every project.
    #[must_use]
    pub fn of_operator(&self) -> &PreflightRules {
        self.operator.rules()
    }

    /// The rules that a project has set, and their revision.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn of_project(&self, project: ProjectId) -> Result<Option<(ProjectRules, u64)>, Fault> {
        let key = key(project);
        match self.registry.get(&key).await? {
            Some(entry) => Ok(Some((decode(&key, &entry.value)?, entry.revision))),
            None => Ok(None),
        }
    }

    /// Replaces the rules of a project; those at `revision` where it is given, of which 0 means none. Returns the new revision.
    ///
    /// # Errors
    /// `FN_006` naming the field of a rule that cannot be used; `FN_014` when another revision is there.
    pub async fn set(
        &self,
        project: ProjectId,
        rules: PreflightRules,
        author: Author,
        revision: Option<u64>,
    ) -> Result<(ProjectRules, u64), Fault> {
        let (rules, compiled) = compile(rules).await?;
        let kept = ProjectRules { rules, author, set_at: self.clock.now() };
        let expect = match revision {
            None => Expect::Any,
            Some(0) => Expect::Absent,
            Some(revision) => Expect::Revision(revision),
        };
        let write = Write::Put { key: key(project), value: encode(&kept)?, expect };
        let revision = self.registry.commit(vec![write]).await.map_err(|error| match error {
            PortError::Conflict { .. } => {
                Fault::new(Reason::ChangedMeanwhile, "revision: the rules were changed by others meanwhile")
                    .with_hint("read them again, and change what is there now")
            }
            error => error.into(),
        })?;
        self.compiled.lock().insert(project, (revision, Arc::new(compiled)));
        Ok((kept, revision))
    }

    /// Removes the rules of a project; the operator's rules stay.
    ///
    /// # Errors
    /// `FN_013` when the project has none; `FN_014` when others change them meanwhile.
    pub async fn reset(&self, project: ProjectId) -> Result<(), Fault> {
        let key = key(project);
        let Some(entry) = self.registry.get(&key).await? else {
            return Err(Fault::new(Reason::NotFound, "the project has no rules of its own; the server's hold"));
        };
        let delete = Write::Delete { key, expect: Expect::Revision(entry.revision) };
        self.registry.commit(vec![delete]).await?;
        self.compiled.lock().remove(&project);
        Ok(())
    }

    /// The rules for uploads of a project.
    pub(crate) async fn policies(&self, project: ProjectId) -> Result<Policies, Fault> {
        let operator = Arc::clone(&self.operator);
        let Some((kept, revision)) = self.of_project(project).await? else {
            return Ok(Policies { operator, project: None });
        };
        let known = self.compiled.lock().get(&project).filter(|(at, _)| *at == revision).cloned();
        if let Some((_, policy)) = known {
            return Ok(Policies { operator, project: Some(policy) });
        }
        let policy = Arc::new(compile(kept.rules).await?.1);
        self.compiled.lock().insert(project, (revision, Arc::clone(&policy)));
        Ok(Policies { operator, project: Some(policy) })
    }
}

/// On a thread for blocking work: a hundred regular expressions take a while.
async fn compile(rules: PreflightRules) -> Result<(PreflightRules, Policy), Fault> {
    let compiled = tokio::task::spawn_blocking(move || Policy::of_project(&rules).map(|policy| (rules, policy))).await;
    let compiled = compiled.map_err(|error| Fault::internal(format!("compiling rules broke off: {error}")))?;
    compiled.map_err(|InvalidPolicy { field, message }| {
        let field = field.trim_start_matches("preflight.");
        Fault::new(Code::InvalidConfiguration, format!("rules.{field} {message}"))
    })
}
