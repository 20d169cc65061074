//! Creating functions and changing their records.

use std::collections::BTreeMap;
use std::sync::Arc;

use faas_ports::{Clock, Expect, IdSource, PortError, Registry, Write};
use faas_types::{Fault, FunctionId, FunctionName, FunctionRecord, ProjectId, Reason, Stage, limits};

use crate::catalog::{Catalog, deleted_meanwhile};
use crate::function_entry::FunctionEntry;
use crate::instance_refresher::InstanceRefresher;
use crate::records::{RETRIES, decode, encode, function_key};
use crate::vars::VarStore;

/// Ports and services that changing functions needs.
#[expect(missing_docs, reason = "each field is the port or service of its type")]
pub struct FunctionDeps {
    pub registry: Arc<dyn Registry>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdSource>,
    pub catalog: Arc<Catalog>,
    pub vars: Arc<VarStore>,
    pub refresher: Arc<dyn InstanceRefresher>,
}

/// Creates functions and changes their records. Versions and aliases are changed by deployments.
pub struct Functions {
    deps: FunctionDeps,
}

/// A record as the registry has it, to be changed.
#[derive(Debug)]
pub struct StoredFunction {
    /// The record.
    pub record: FunctionRecord,
    /// The revision that a commit of the changed record expects.
    pub revision: u64,
}

// === impl Functions ===

impl Functions {
    /// The service on its ports.
    pub fn new(deps: FunctionDeps) -> Self {
        Self { deps }
    }

    /// Creates a function without a version, with this id where one is given.
    ///
    /// # Errors
    /// `FN_014` when the name is taken, `FN_006` for bad vars, `FN_007` past the limit of functions.
    pub async fn create(
        &self,
        project: ProjectId,
        name: FunctionName,
        vars: BTreeMap<String, String>,
        id: Option<FunctionId>,
    ) -> Result<Arc<FunctionEntry>, Fault> {
        self.deps.vars.check(project, Stage::Prod, &vars)?;
        let mut record = self.new_record(project, name, vars)?;
        record.id = id.unwrap_or(record.id);
        let key = function_key(project, &record.name);
        let value = encode(&record)?;
        let write = Write::Put { key, value, expect: Expect::Absent };
        match self.deps.registry.commit(vec![write]).await {
            Ok(revision) => Ok(self.deps.catalog.learn(record, revision)),
            Err(PortError::Conflict { .. }) => {
                Err(Fault::new(Reason::NameTaken, format!("a function named `{}` exists", record.name))
                    .with_hint("deploy to it, or choose another name"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The record of a function that does not exist yet; stores nothing.
    ///
    /// # Errors
    /// `FN_007` past the limit of functions.
    pub fn new_record(
        &self,
        project: ProjectId,
        name: FunctionName,
        vars: BTreeMap<String, String>,
    ) -> Result<FunctionRecord, Fault> {
        if self.deps.catalog.count(project) >= limits::FUNCTIONS_MAX {
            return Err(Fault::new(
                Reason::LimitReached,
                format!("a project has at most {} functions", limits::FUNCTIONS_MAX),
            )
            .with_hint("delete functions that are not used"));
        }
        let now = self.deps.clock.now();
        Ok(FunctionRecord { vars, ..FunctionRecord::new(self.deps.ids.mint(now), project, name, now) })
    }

    /// Applies `change` to the newest record, again when another writer was first.
    ///
    /// # Errors
    /// What `change` refuses; `FN_001` for a function that was deleted; `FN_014` when others change it all the time.
    pub async fn update(
        &self,
        entry: &FunctionEntry,
        change: impl Fn(&mut FunctionRecord) -> Result<(), Fault>,
    ) -> Result<Arc<FunctionEntry>, Fault> {
        for _ in 0..RETRIES {
            let mut stored = self.stored(entry).await?;
            change(&mut stored.record)?;
            if let Some(revision) = self.try_commit(&mut stored, Vec::new()).await? {
                return Ok(self.take_in(stored.record, revision).await);
            }
        }
        Err(changed_by_others(&entry.record.name))
    }

    /// The newest record of a function.
    ///
    /// # Errors
    /// `FN_001` for a function that was deleted.
    pub async fn stored(&self, entry: &FunctionEntry) -> Result<StoredFunction, Fault> {
        let key = entry.key();
        let stored = self.deps.registry.get(&key).await?;
        let stored = stored.ok_or_else(|| deleted_meanwhile(&entry.record.name))?;
        if entry.is_pinned && stored.revision != entry.revision {
            let message = format!("`{}` was changed by others meanwhile", entry.record.name);
            return Err(Fault::new(Reason::PreconditionFailed, message));
        }
        Ok(StoredFunction { record: decode(&key, &stored.value)?, revision: stored.revision })
    }

    /// Commits a changed record together with other writes. Returns the new revision; `None` when another writer was first.
    ///
    /// # Errors
    /// When the registry cannot be written.
    pub async fn try_commit(&self, stored: &mut StoredFunction, others: Vec<Write>) -> Result<Option<u64>, Fault> {
        let StoredFunction { record, revision } = stored;
        record.updated_at = record.moment(self.deps.clock.now());
        let key = function_key(record.project, &record.name);
        let put = Write::Put { key, value: encode(record)?, expect: Expect::Revision(*revision) };
        let writes = std::iter::once(put).chain(others).collect();
        match self.deps.registry.commit(writes).await {
            Ok(revision) => Ok(Some(revision)),
            Err(PortError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes in a record that was committed, and brings its instances in line with it.
    pub async fn take_in(&self, record: FunctionRecord, revision: u64) -> Arc<FunctionEntry> {
        let entry = self.deps.catalog.learn(record, revision);
        self.deps.refresher.function_changed(&entry).await;
        entry
    }

    /// Changes what people say of a function, and whether its accepted runs are held back.
    ///
    /// # Errors
    /// `FN_006` for a description or labels out of their bounds; when the function is gone or is being changed by others.
    pub async fn describe(
        &self,
        entry: &FunctionEntry,
        change: impl Fn(&mut FunctionRecord),
    ) -> Result<Arc<FunctionEntry>, Fault> {
        self.update(entry, |record| {
            change(record);
            record.check_words()
        })
        .await
    }

    /// Holds back the accepted runs of a function, or lets them go. Runs under way go on, and calls whose callers wait
    /// are served all the time.
    ///
    /// # Errors
    /// When the function is gone or is being changed by others.
    pub async fn pause(&self, entry: &FunctionEntry, paused: bool) -> Result<Arc<FunctionEntry>, Fault> {
        self.update(entry, |record| {
            record.paused = paused;
            Ok(())
        })
        .await
    }
}

/// The error for a record that other writers change all the time.
pub fn changed_by_others(name: &FunctionName) -> Fault {
    Fault::new(Reason::ChangedMeanwhile, format!("`{name}` is being changed by others")).with_retry_after(1)
}
