//! The functions of every project in memory. Versions are read when first needed and never change.

use std::collections::BTreeSet;
use std::sync::Arc;

use faas_ports::{Key, PortResult, Registry};
use faas_types::{
    ByteSize, Code, EgressPolicy, Fault, FunctionId, FunctionName, FunctionRecord, ProjectId, Reason, RuntimeName,
    VersionRecord,
};
use tokio::sync::watch;

use crate::function_entry::FunctionEntry;
use crate::function_table::{FunctionTable, NameWalk};
use crate::projection::{Projection, ProjectionStatus};
use crate::records::{Tombstone, decode, function_key, tombstone_key, version_key};

/// The functions of every project, kept current by following the registry.
pub struct Catalog {
    registry: Arc<dyn Registry>,
    functions: Projection<FunctionTable>,
}

// === impl Catalog ===

impl Catalog {
    /// Loads all functions and keeps following; returns once it is complete.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn start(registry: Arc<dyn Registry>) -> PortResult<Arc<Self>> {
        let functions = Projection::start(Arc::clone(&registry), FunctionTable::default()).await?;
        Ok(Arc::new(Self { registry, functions }))
    }

    /// Whether the functions are current.
    pub fn status(&self) -> ProjectionStatus {
        self.functions.status()
    }

    /// Takes in a record that was committed, and returns the newest entry of its function.
    pub fn learn(&self, record: FunctionRecord, revision: u64) -> Arc<FunctionEntry> {
        let (project, name) = (record.project, record.name.clone());
        let own = Arc::new(FunctionEntry::new(record.clone(), revision));
        self.functions.put(&function_key(project, &name), record, revision);
        self.by_name(project, &name).unwrap_or(own)
    }

    /// Takes in that a function's record was deleted.
    pub fn forget(&self, project: ProjectId, name: &FunctionName, revision: u64) {
        self.functions.remove(&function_key(project, name), revision);
    }

    /// Drops versions that were deleted from memory.
    pub fn forget_versions(&self, function: FunctionId, numbers: &[u32]) {
        self.table().forget_versions(function, numbers);
    }

    /// Runtime and memory of the versions that serve.
    pub fn live_kinds(&self) -> BTreeSet<(RuntimeName, ByteSize)> {
        self.table().live_kinds()
    }

    /// Waits until runtime or memory of a version that serves may have changed. For one waiting task.
    pub async fn live_kinds_changed(&self) {
        self.table().live_kinds_changed().await;
    }

    /// Waits until another function changes with time: a canary is under way, or an alias expires.
    pub async fn timed_changed(&self) {
        self.table().timed_changed().await;
    }

    /// The functions that change with time: those with a canary under way or an alias that expires.
    pub fn timed(&self) -> Vec<Arc<FunctionEntry>> {
        self.table().timed()
    }

    /// A function by name.
    pub fn by_name(&self, project: ProjectId, name: &FunctionName) -> Option<Arc<FunctionEntry>> {
        self.table().by_name(project, name)
    }

    /// A function by id, within a project.
    pub fn by_id(&self, project: ProjectId, id: FunctionId) -> Option<Arc<FunctionEntry>> {
        self.any_by_id(id).filter(|entry| entry.record.project == project)
    }

    /// A function by name or by id, as paths have it.
    ///
    /// # Errors
    /// `FN_001`, with a name that may have been meant.
    pub fn find(&self, project: ProjectId, text: &str) -> Result<Arc<FunctionEntry>, Fault> {
        let found = match text.parse::<FunctionId>() {
            Ok(id) => self.by_id(project, id),
            Err(_) => text.parse().ok().and_then(|name| self.by_name(project, &name)),
        };
        found.ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            Fault::new(Code::FunctionNotFound, format!("no function named `{shown}`"))
                .with_command_hint("list yours with `faas functions list`, or deploy one with `faas deploy`")
        })
    }

    /// The id of a function by name or by id, also of one that was deleted: its runs and log lines stay as long as they are
    /// kept. A name is that of the function that has it now, or of the one that had it last.
    ///
    /// # Errors
    /// `FN_001`; when the registry cannot be read.
    pub async fn find_past(&self, project: ProjectId, text: &str) -> Result<FunctionId, Fault> {
        let fault = match self.find(project, text) {
            Ok(entry) => return Ok(entry.record.id),
            Err(fault) => fault,
        };
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let Ok(name) = text.parse() else { return Err(fault) };
        let key = tombstone_key(project, &name);
        let stored = self.registry.get(&key).await?.ok_or(fault)?;
        Ok(decode::<Tombstone>(&key, &stored.value)?.id)
    }

    /// Functions of a project by name, after `after`, `limit` at most.
    pub fn page(&self, project: ProjectId, after: Option<&FunctionName>, limit: usize) -> Vec<Arc<FunctionEntry>> {
        self.table().page(project, after, limit)
    }

    /// Functions of a project that match, along a walk by name.
    pub fn walk(
        &self,
        project: ProjectId,
        walk: &NameWalk<'_>,
        matches: impl Fn(&FunctionEntry) -> bool,
    ) -> Vec<Arc<FunctionEntry>> {
        self.table().walk(project, walk, matches)
    }

    /// All functions of a project that match.
    pub fn matching(&self, project: ProjectId, matches: impl Fn(&FunctionEntry) -> bool) -> Vec<Arc<FunctionEntry>> {
        self.table().matching(project, matches)
    }

    /// How many functions a project has.
    pub fn count(&self, project: ProjectId) -> usize {
        self.table().count(project)
    }

    /// A function by id, of any project.
    pub fn any_by_id(&self, id: FunctionId) -> Option<Arc<FunctionEntry>> {
        self.table().by_id(id)
    }

    /// Every function of every project.
    pub fn all(&self) -> Vec<Arc<FunctionEntry>> {
        self.table().all()
    }

    /// A version of a function.
    ///
    /// # Errors
    /// `FN_013` when the function has no version of that number.
    pub async fn version(&self, entry: &FunctionEntry, number: u32) -> Result<Arc<VersionRecord>, Fault> {
        if let Some(version) = self.known_version(entry.record.id, number) {
            return Ok(version);
        }
        let key = version_key(entry.record.project, entry.record.id, number);
        let stored = self.registry.get(&key).await?.ok_or_else(|| no_version(&entry.record.name, number))?;
        self.take_in(&key, &stored.value)
    }

    /// The versions that `live` of each function points to, with one question to the registry.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn live_versions(
        &self,
        entries: &[Arc<FunctionEntry>],
    ) -> Result<Vec<Option<Arc<VersionRecord>>>, Fault> {
        let name = |entry: &Arc<FunctionEntry>| Some((entry.record.id, entry.live_version()?));
        let mut found: Vec<_> =
            entries.iter().map(|entry| name(entry).and_then(|(id, number)| self.known_version(id, number))).collect();
        let unknown = entries.iter().enumerate().filter(|(at, _)| found[*at].is_none());
        let asked = unknown.filter_map(|(at, entry)| {
            let (id, number) = name(entry)?;
            Some((at, version_key(entry.record.project, id, number)))
        });
        let (places, keys): (Vec<usize>, Vec<Key>) = asked.unzip();
        if !keys.is_empty() {
            for ((at, key), stored) in places.into_iter().zip(&keys).zip(self.registry.get_all(&keys).await?) {
                found[at] = stored.map(|stored| self.take_in(key, &stored.value)).transpose()?;
            }
        }
        Ok(found)
    }

    /// What instances of a version may connect to, now and after each change.
    pub fn egress_policy(&self, entry: &FunctionEntry, version: &VersionRecord) -> watch::Receiver<Arc<EgressPolicy>> {
        self.table().egress_policy(entry.record.id, version)
    }

    /// A version that is in memory.
    pub fn known_version(&self, function: FunctionId, number: u32) -> Option<Arc<VersionRecord>> {
        self.table().version(function, number)
    }

    fn take_in(&self, key: &Key, value: &[u8]) -> Result<Arc<VersionRecord>, Fault> {
        let version = Arc::new(decode::<VersionRecord>(key, value)?);
        self.table().put_version(Arc::clone(&version));
        Ok(version)
    }

    fn table(&self) -> &FunctionTable {
        self.functions.table()
    }
}

/// The error for a version that is not there.
pub fn no_version(name: &FunctionName, number: u32) -> Fault {
    Fault::new(Reason::VersionNotFound, format!("`{name}` has no version {number}"))
        .with_command_hint(format!("its versions are listed by `faas versions list {name}`"))
}

/// The error for a function that was deleted while it was used.
pub fn deleted_meanwhile(name: &FunctionName) -> Fault {
    Fault::new(Reason::FunctionDeleted, format!("`{name}` was deleted meanwhile"))
}
