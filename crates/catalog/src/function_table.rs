//! The tables behind the catalog.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use faas_ports::{Collection, Key, PortResult};
use faas_types::{
    ByteSize, EgressPolicy, FunctionId, FunctionName, FunctionRecord, ProjectId, RuntimeName, VersionRecord,
};
use parking_lot::RwLock;
use tokio::sync::{Notify, watch};

use crate::function_entry::FunctionEntry;
use crate::live_policies::LivePolicies;
use crate::projection::ProjectedTable;
use crate::records::corrupt;
use crate::version_cache::VersionCache;

/// Functions by name and by id, with the versions and network policies that are in use.
#[derive(Default)]
pub(crate) struct FunctionTable {
    tables: RwLock<Tables>,
    timed_changed: Notify,
    live_kinds_changed: Notify,
    policies: LivePolicies,
}

#[derive(Default)]
struct Tables {
    by_name: HashMap<ProjectId, BTreeMap<FunctionName, Arc<FunctionEntry>>>,
    by_id: HashMap<FunctionId, (ProjectId, FunctionName)>,
    versions: VersionCache,
    timed: BTreeSet<FunctionId>,
}

// === impl FunctionTable ===

impl ProjectedTable for FunctionTable {
    type Record = FunctionRecord;
    const COLLECTION: Collection = Collection::Functions;

    fn put(&self, _: &Key, record: FunctionRecord, revision: u64) -> PortResult<()> {
        let entry = FunctionEntry::new(record, revision);
        let id = entry.record.id;
        if self.tables.write().put(entry) {
            self.timed_changed.notify_one();
        }
        self.live_kinds_changed.notify_one();
        self.policies.changed(id, || self.policy_override(id));
        Ok(())
    }

    fn remove(&self, key: &Key) {
        let Ok(name) = key.name.parse() else {
            return tracing::error!(error = %corrupt(key), "a deleted function cannot be named");
        };
        self.tables.write().remove(key.project, &name);
        self.live_kinds_changed.notify_one();
    }
}

impl FunctionTable {
    pub(crate) fn by_name(&self, project: ProjectId, name: &FunctionName) -> Option<Arc<FunctionEntry>> {
        self.tables.read().by_name.get(&project)?.get(name).cloned()
    }

    pub(crate) fn by_id(&self, id: FunctionId) -> Option<Arc<FunctionEntry>> {
        self.tables.read().by_id(id)
    }

    pub(crate) fn page(
        &self,
        project: ProjectId,
        after: Option<&FunctionName>,
        limit: usize,
    ) -> Vec<Arc<FunctionEntry>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let tables = self.tables.read();
        let Some(functions) = tables.by_name.get(&project) else { return Vec::new() };
        let start = after.map_or(Unbounded, |name| Excluded(name.clone()));
        functions.range((start, Unbounded)).take(limit).map(|(_, entry)| Arc::clone(entry)).collect()
    }

    pub(crate) fn count(&self, project: ProjectId) -> usize {
        self.tables.read().by_name.get(&project).map_or(0, BTreeMap::len)
    }

    pub(crate) fn all(&self) -> Vec<Arc<FunctionEntry>> {
        self.tables.read().by_name.values().flat_map(|functions| functions.values().cloned()).collect()
    }

    pub(crate) fn timed(&self) -> Vec<Arc<FunctionEntry>> {
        let tables = self.tables.read();
        tables.timed.iter().filter_map(|id| tables.by_id(*id)).collect()
    }

    pub(crate) async fn timed_changed(&self) {
        self.timed_changed.notified().await;
    }

    pub(crate) async fn live_kinds_changed(&self) {
        self.live_kinds_changed.notified().await;
    }

    pub(crate) fn live_kinds(&self) -> BTreeSet<(RuntimeName, ByteSize)> {
        let tables = self.tables.read();
        let entries = tables.by_name.values().flat_map(BTreeMap::values);
        entries.filter_map(|entry| entry.record.live_kind.clone()).collect()
    }

    pub(crate) fn version(&self, function: FunctionId, number: u32) -> Option<Arc<VersionRecord>> {
        let (version, ages) = self.tables.read().versions.get((function, number))?;
        if ages {
            self.put_version(Arc::clone(&version));
        }
        Some(version)
    }

    pub(crate) fn put_version(&self, version: Arc<VersionRecord>) {
        self.tables.write().versions.put(version);
    }

    pub(crate) fn forget_versions(&self, function: FunctionId, numbers: &[u32]) {
        self.tables.write().versions.forget_some(function, numbers);
    }

    pub(crate) fn egress_policy(
        &self,
        function: FunctionId,
        version: &VersionRecord,
    ) -> watch::Receiver<Arc<EgressPolicy>> {
        let manifest = &version.settings.egress;
        self.policies.watch((function, version.number), manifest, || self.policy_override(function))
    }

    /// The policy that was set by hand, which replaces that of every version.
    fn policy_override(&self, id: FunctionId) -> Option<Arc<EgressPolicy>> {
        Some(Arc::new(self.by_id(id)?.record.egress.as_ref()?.in_force()))
    }
}

// === impl Tables ===

impl Tables {
    /// Whether the function is one that changes with time.
    fn put(&mut self, entry: FunctionEntry) -> bool {
        let (id, project, name) = (entry.record.id, entry.record.project, entry.record.name.clone());
        let is_timed = entry.is_timed();
        let replaced = self.by_name.entry(project).or_default().insert(name.clone(), Arc::new(entry));
        // Deleted and made again under its name: nothing of the one before may stay.
        if let Some(old) = replaced.filter(|old| old.record.id != id) {
            self.forget(old.record.id);
        }
        self.by_id.insert(id, (project, name));
        if is_timed {
            self.timed.insert(id);
        } else {
            self.timed.remove(&id);
        }
        is_timed
    }

    fn remove(&mut self, project: ProjectId, name: &FunctionName) {
        let Some(functions) = self.by_name.get_mut(&project) else { return };
        let gone = functions.remove(name);
        if functions.is_empty() {
            self.by_name.remove(&project);
        }
        if let Some(gone) = gone {
            self.forget(gone.record.id);
        }
    }

    fn forget(&mut self, id: FunctionId) {
        self.by_id.remove(&id);
        self.timed.remove(&id);
        self.versions.forget(id);
    }

    fn by_id(&self, id: FunctionId) -> Option<Arc<FunctionEntry>> {
        let (project, name) = self.by_id.get(&id)?;
        self.by_name.get(project)?.get(name).cloned()
    }
}
