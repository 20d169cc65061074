//! The vars and sealed secrets of every project's stages in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use faas_ports::{Collection, Key, PortResult, Registry, Vault};
use faas_types::{Fault, ProjectId, Stage, VersionRecord};
use parking_lot::RwLock;

use super::check::check_vars;
use super::project_vars::ProjectVars;
use super::scope::{ResolvedVars, VarScope, missing_secret};
use super::secret_record::{SecretRecord, secret_of};
use crate::fingerprint::VarsFingerprint;
use crate::function_entry::FunctionEntry;
use crate::projection::{ProjectedTable, Projection, ProjectionStatus};
use crate::records::corrupt;

/// Vars and secrets of every project, kept current by following the registry.
pub struct VarStore {
    tables: Arc<Tables>,
    vars: Projection<StageVarsTable>,
    secrets: Projection<SecretsTable>,
    vault: Arc<dyn Vault>,
}

#[derive(Default)]
struct Tables {
    projects: RwLock<HashMap<ProjectId, Arc<ProjectVars>>>,
    /// Rises with every change of any project.
    generation: AtomicU64,
}

struct StageVarsTable(Arc<Tables>);

struct SecretsTable(Arc<Tables>);

/// The key of the vars of a stage.
pub fn stage_vars_key(project: ProjectId, stage: Stage) -> Key {
    Key::new(project, Collection::StageVars, stage.as_str())
}

// === impl VarStore ===

impl VarStore {
    /// Loads all vars and secrets and keeps following; returns once it is complete.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn start(registry: Arc<dyn Registry>, vault: Arc<dyn Vault>) -> PortResult<Arc<Self>> {
        let tables = Arc::new(Tables::default());
        let vars = Projection::start(Arc::clone(&registry), StageVarsTable(Arc::clone(&tables))).await?;
        let secrets = Projection::start(registry, SecretsTable(Arc::clone(&tables))).await?;
        Ok(Arc::new(Self { tables, vars, secrets, vault }))
    }

    /// Whether vars and secrets are current.
    pub fn status(&self) -> [ProjectionStatus; 2] {
        [self.vars.status(), self.secrets.status()]
    }

    /// The vars and secrets of a project now.
    pub fn of(&self, project: ProjectId) -> Arc<ProjectVars> {
        self.tables.projects.read().get(&project).cloned().unwrap_or_default()
    }

    /// Takes in the vars of a stage that were committed.
    pub fn learn_vars(&self, project: ProjectId, stage: Stage, vars: BTreeMap<String, String>, revision: u64) {
        self.vars.put(&stage_vars_key(project, stage), vars, revision);
    }

    /// Takes in a secret that was committed.
    pub fn learn_secret(&self, key: &Key, record: SecretRecord, revision: u64) {
        self.secrets.put(key, record, revision);
    }

    /// Takes in that a secret was deleted.
    pub fn forget_secret(&self, key: &Key, revision: u64) {
        self.secrets.remove(key, revision);
    }

    /// Refuses vars that are malformed or refer to secrets that a stage does not see.
    ///
    /// # Errors
    /// `FN_006`, naming var and secret.
    pub fn check(&self, project: ProjectId, stage: Stage, vars: &BTreeMap<String, String>) -> Result<(), Fault> {
        check_vars(vars)?;
        let of_project = self.of(project);
        for (key, value) in vars {
            let missing = faas_types::secret_refs(value).find(|name| of_project.secret(stage, name).is_none());
            if let Some(name) = missing {
                return Err(missing_secret(key, &name, stage));
            }
        }
        Ok(())
    }

    /// The environment of a version's instances in a stage, secrets in the clear.
    ///
    /// # Errors
    /// `FN_029` for a secret that is missing or does not open, `FN_006` for a value that grew too large.
    pub fn resolve(&self, entry: &FunctionEntry, version: &VersionRecord, stage: Stage) -> Result<ResolvedVars, Fault> {
        let of_project = self.of(entry.record.project);
        VarScope::of(&of_project, &entry.record, version, stage).resolve(&*self.vault)
    }

    /// Identifies the environment of a version's instances in a stage. Computed again only after something changed.
    pub fn fingerprint(&self, entry: &FunctionEntry, version: &VersionRecord, stage: Stage) -> VarsFingerprint {
        let generation = self.tables.generation.load(Ordering::Acquire);
        entry.fingerprints.get_or_compute(version.number, stage, generation, || {
            let of_project = self.of(entry.record.project);
            VarScope::of(&of_project, &entry.record, version, stage).fingerprint()
        })
    }
}

// === impl Tables ===

impl Tables {
    fn change(&self, project: ProjectId, change: impl FnOnce(&mut ProjectVars)) {
        let mut projects = self.projects.write();
        change(Arc::make_mut(projects.entry(project).or_default()));
        drop(projects);
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

// === impl StageVarsTable ===

impl ProjectedTable for StageVarsTable {
    type Record = BTreeMap<String, String>;
    const COLLECTION: Collection = Collection::StageVars;

    fn put(&self, key: &Key, record: Self::Record, _: u64) -> PortResult<()> {
        let stage: Stage = key.name.parse().map_err(|_| corrupt(key))?;
        let record = Arc::new(record);
        self.0.change(key.project, |project| drop(project.vars.insert(stage, record)));
        Ok(())
    }

    fn remove(&self, key: &Key) {
        if let Ok(stage) = key.name.parse::<Stage>() {
            self.0.change(key.project, |project| drop(project.vars.remove(&stage)));
        }
    }
}

// === impl SecretsTable ===

impl ProjectedTable for SecretsTable {
    type Record = SecretRecord;
    const COLLECTION: Collection = Collection::Secrets;

    fn put(&self, key: &Key, record: SecretRecord, _: u64) -> PortResult<()> {
        let of = secret_of(&key.name).ok_or_else(|| corrupt(key))?;
        let record = Arc::new(record);
        self.0.change(key.project, |project| drop(project.secrets.insert(of, record)));
        Ok(())
    }

    fn remove(&self, key: &Key) {
        if let Some(of) = secret_of(&key.name) {
            self.0.change(key.project, |project| drop(project.secrets.remove(&of)));
        }
    }
}
