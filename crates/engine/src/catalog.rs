//! The functions of every project in memory, kept current by watching the registry.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use faas_ports::{Change, Collection, Key, PortError, PortResult, Registry};
use faas_types::{
    AliasName, ByteSize, Code, EgressPolicy, Fault, FunctionId, FunctionName, FunctionRecord, Lot, ProjectId,
    RuntimeName, VersionRecord,
};
use futures_util::StreamExt;
use parking_lot::RwLock;
use tokio::sync::{Notify, watch};

use crate::live_policies::LivePolicies;
use crate::stages::Marks;
use crate::version_cache::VersionCache;

/// A function with the registry's revision of its record.
#[derive(Debug)]
pub struct FunctionEntry {
    /// The record.
    pub record: FunctionRecord,
    /// The revision to expect when changing it.
    pub revision: u64,
    /// What the vars of its versions come to, as far as it was asked.
    pub(crate) marks: Marks,
    /// Calls of each alias that splits them.
    turns: BTreeMap<AliasName, AtomicU64>,
}

/// The functions of every project in memory. Versions are read when first needed and never change.
pub struct Catalog {
    registry: Arc<dyn Registry>,
    tables: RwLock<Tables>,
    /// There is another function to attend to.
    pub(crate) attention: Notify,
    /// What running instances may connect to.
    pub(crate) policies: LivePolicies,
}

#[derive(Default)]
struct Tables {
    by_name: HashMap<ProjectId, BTreeMap<FunctionName, Arc<FunctionEntry>>>,
    by_id: HashMap<FunctionId, (ProjectId, FunctionName)>,
    versions: VersionCache,
    /// Functions that change with time: those with a trial under way or a preview.
    attended: BTreeSet<FunctionId>,
}

// === impl FunctionEntry ===

impl FunctionEntry {
    pub(crate) fn new(record: FunctionRecord, revision: u64) -> Self {
        let split = record.aliases.iter().filter(|(_, alias)| alias.split.is_some());
        // Begun elsewhere with each change, so that changes one after another favour no version.
        let turns = split.map(|(name, _)| (name.clone(), AtomicU64::new(revision.wrapping_mul(7919)))).collect();
        Self { record, revision, marks: Marks::default(), turns }
    }

    /// The place of the next call of an alias.
    pub(crate) fn draw(&self, alias: &AliasName) -> Lot {
        Lot::of_turn(self.turns.get(alias).map_or(0, |turn| turn.fetch_add(1, Ordering::Relaxed)))
    }

    /// The version that `live` points to, the first one where it splits.
    pub fn live_version(&self) -> Option<u32> {
        self.record.live().map(|alias| alias.version)
    }

    fn wants_attention(&self) -> bool {
        self.record.canary.is_some() || self.record.aliases.values().any(|alias| alias.expires_at.is_some())
    }

    pub(crate) fn key(&self) -> Key {
        function_key(self.record.project, &self.record.name)
    }
}

pub(crate) fn function_key(project: ProjectId, name: &FunctionName) -> Key {
    Key::new(project, Collection::Functions, name.as_str())
}

pub(crate) fn version_key(project: ProjectId, function: FunctionId, number: u32) -> Key {
    Key::new(project, Collection::Versions, format!("{function}/{number:010}"))
}

pub(crate) fn decode<T: serde::de::DeserializeOwned>(key: &Key, value: &[u8]) -> PortResult<T> {
    serde_json::from_slice(value)
        .map_err(|_| PortError::Corrupt { what: format!("{} `{}`", key.collection.as_str(), key.name) })
}

// === impl Catalog ===

impl Catalog {
    /// Loads all functions and keeps following; returns once it is complete.
    pub(crate) async fn start(registry: Arc<dyn Registry>) -> PortResult<Arc<Self>> {
        let catalog = Arc::new(Self {
            registry,
            tables: RwLock::default(),
            attention: Notify::new(),
            policies: LivePolicies::default(),
        });
        let mut watch = catalog.registry.watch(Collection::Functions).await?;
        while let Some(change) = watch.next().await {
            match change {
                Change::Synced => break,
                Change::Lagged => watch = catalog.registry.watch(Collection::Functions).await?,
                other => catalog.apply(other),
            }
        }
        let following = Arc::downgrade(&catalog);
        tokio::spawn(async move {
            loop {
                while let Some(change) = watch.next().await {
                    let Some(catalog) = following.upgrade() else { return };
                    catalog.apply(change);
                }
                let Some(catalog) = following.upgrade() else { return };
                match catalog.registry.watch(Collection::Functions).await {
                    Ok(anew) => watch = anew,
                    Err(error) => {
                        tracing::warn!(%error, "the catalogue no longer follows the registry");
                        return;
                    }
                }
            }
        });
        Ok(catalog)
    }

    /// Takes in a change; an older revision than the one known is ignored.
    pub(crate) fn apply(&self, change: Change) {
        match change {
            Change::Put(entry) => match decode::<FunctionRecord>(&entry.key, &entry.value) {
                Ok(record) => self.put(FunctionEntry::new(record, entry.revision)),
                Err(error) => tracing::error!(%error, "a function is left out"),
            },
            Change::Deleted { key, revision } => {
                if let Ok(name) = key.name.parse() {
                    self.remove(key.project, &name, revision);
                }
            }
            Change::Synced | Change::Lagged => {}
        }
    }

    pub(crate) fn put(&self, entry: FunctionEntry) {
        let id = entry.record.id;
        self.insert(entry);
        self.policies.changed(id, || self.set_policy(id));
    }

    /// What a function may connect to, where that was set by hand.
    fn set_policy(&self, id: FunctionId) -> Option<Arc<EgressPolicy>> {
        Some(Arc::new(self.all_by_id(id)?.record.egress.as_ref()?.in_force()))
    }

    fn insert(&self, entry: FunctionEntry) {
        let mut tables = self.tables.write();
        let (project, name) = (entry.record.project, entry.record.name.clone());
        let known = tables.by_name.entry(project).or_default();
        if known.get(&name).is_none_or(|old| old.revision < entry.revision) {
            let id = entry.record.id;
            let wants_attention = entry.wants_attention();
            known.insert(name.clone(), Arc::new(entry));
            tables.by_id.insert(id, (project, name));
            if wants_attention {
                tables.attended.insert(id);
                self.attention.notify_one();
            } else {
                tables.attended.remove(&id);
            }
        }
    }

    pub(crate) fn remove(&self, project: ProjectId, name: &FunctionName, revision: u64) {
        let mut tables = self.tables.write();
        let Some(known) = tables.by_name.get_mut(&project) else { return };
        if known.get(name).is_some_and(|old| old.revision < revision)
            && let Some(gone) = known.remove(name)
        {
            tables.by_id.remove(&gone.record.id);
            tables.attended.remove(&gone.record.id);
            tables.versions.forget(gone.record.id);
        }
    }

    /// Forgets versions that were dropped.
    pub(crate) fn forget_versions(&self, function: FunctionId, numbers: &[u32]) {
        self.tables.write().versions.forget_some(function, numbers);
    }

    /// Runtime and memory of the versions that serve.
    pub(crate) fn live_kinds(&self) -> BTreeSet<(RuntimeName, ByteSize)> {
        let tables = self.tables.read();
        let entries = tables.by_name.values().flat_map(BTreeMap::values);
        entries.filter_map(|entry| entry.record.live_kind.clone()).collect()
    }

    /// A function by name.
    pub fn by_name(&self, project: ProjectId, name: &FunctionName) -> Option<Arc<FunctionEntry>> {
        self.tables.read().by_name.get(&project)?.get(name).cloned()
    }

    /// A function by id, within a project.
    pub fn by_id(&self, project: ProjectId, id: FunctionId) -> Option<Arc<FunctionEntry>> {
        let tables = self.tables.read();
        let (owner, name) = tables.by_id.get(&id)?;
        (*owner == project).then(|| tables.by_name.get(owner)?.get(name).cloned())?
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
                .with_hint("list yours with `faas fn list`, or deploy one with `faas deploy`")
        })
    }

    /// Functions of a project by name, after `after`, `limit` at most.
    pub fn page(&self, project: ProjectId, after: Option<&FunctionName>, limit: usize) -> Vec<Arc<FunctionEntry>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let tables = self.tables.read();
        let Some(functions) = tables.by_name.get(&project) else { return Vec::new() };
        let start = after.map_or(Unbounded, |name| Excluded(name.clone()));
        functions.range((start, Unbounded)).take(limit).map(|(_, entry)| Arc::clone(entry)).collect()
    }

    /// How many functions a project has.
    pub fn count(&self, project: ProjectId) -> usize {
        self.tables.read().by_name.get(&project).map_or(0, BTreeMap::len)
    }

    /// A function by id, whichever project it belongs to.
    pub(crate) fn all_by_id(&self, id: FunctionId) -> Option<Arc<FunctionEntry>> {
        let tables = self.tables.read();
        let (project, name) = tables.by_id.get(&id)?;
        tables.by_name.get(project)?.get(name).cloned()
    }

    /// Functions that change with time.
    pub(crate) fn attended(&self) -> Vec<Arc<FunctionEntry>> {
        let tables = self.tables.read();
        let names = tables.attended.iter().filter_map(|id| tables.by_id.get(id));
        names.filter_map(|(project, name)| tables.by_name.get(project)?.get(name).cloned()).collect()
    }

    /// Every function of every project.
    pub(crate) fn all(&self) -> Vec<Arc<FunctionEntry>> {
        self.tables.read().by_name.values().flat_map(|functions| functions.values().cloned()).collect()
    }

    /// A version of a function.
    ///
    /// # Errors
    /// `FN_013` when there is none of that number.
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

    /// What instances of a version may connect to, as it is and as it becomes.
    pub(crate) fn policy_of(
        &self,
        entry: &FunctionEntry,
        version: &VersionRecord,
    ) -> watch::Receiver<Arc<EgressPolicy>> {
        let id = entry.record.id;
        self.policies.watch((id, version.number), &version.settings.egress, || self.set_policy(id))
    }

    /// A version that is in memory.
    pub(crate) fn known_version(&self, function: FunctionId, number: u32) -> Option<Arc<VersionRecord>> {
        let (version, ages) = self.tables.read().versions.get((function, number))?;
        if ages {
            self.tables.write().versions.put(Arc::clone(&version));
        }
        Some(version)
    }

    fn take_in(&self, key: &Key, value: &[u8]) -> Result<Arc<VersionRecord>, Fault> {
        let version = Arc::new(decode::<VersionRecord>(key, value)?);
        self.tables.write().versions.put(Arc::clone(&version));
        Ok(version)
    }
}

pub(crate) fn no_version(name: &FunctionName, number: u32) -> Fault {
    Fault::new(Code::NotFound, format!("`{name}` has no version {number}"))
        .with_hint(format!("its versions are listed by `faas fn versions {name}`"))
}
