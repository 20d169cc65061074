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

/// Runtime and memory of a version that serves.
type LiveKind = (RuntimeName, ByteSize);

/// What a change of the tables may have changed besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Effects {
    /// A function that changes with time was put.
    timed: bool,
    /// A kind was added to the live ones, or removed from them.
    live_kinds: bool,
}

/// A walk through a project's functions by name.
#[derive(Clone, Copy, Debug)]
pub struct NameWalk<'a> {
    /// The name that was seen last.
    pub after: Option<&'a FunctionName>,
    /// From Z to A.
    pub descends: bool,
    /// The maximum of functions.
    pub limit: usize,
}

#[derive(Default)]
struct Tables {
    by_name: HashMap<ProjectId, BTreeMap<FunctionName, Arc<FunctionEntry>>>,
    by_id: HashMap<FunctionId, Arc<FunctionEntry>>,
    versions: VersionCache,
    /// How many functions serve with each runtime and memory.
    live_kinds: BTreeMap<LiveKind, usize>,
    timed: BTreeSet<FunctionId>,
}

// === impl FunctionTable ===

impl ProjectedTable for FunctionTable {
    type Record = FunctionRecord;
    const COLLECTION: Collection = Collection::Functions;

    fn put(&self, _: &Key, record: FunctionRecord, revision: u64) -> PortResult<()> {
        let entry = FunctionEntry::new(record, revision);
        let id = entry.record.id;
        let effects = self.tables.write().put(entry);
        self.tell(effects);
        self.policies.changed(id, || self.policy_override(id));
        Ok(())
    }

    fn remove(&self, key: &Key) {
        let Ok(name) = key.name.parse() else {
            return tracing::error!(error = %corrupt(key), "a deleted function cannot be named");
        };
        let effects = self.tables.write().remove(key.project, &name);
        self.tell(effects);
    }
}

impl FunctionTable {
    pub(crate) fn by_name(&self, project: ProjectId, name: &FunctionName) -> Option<Arc<FunctionEntry>> {
        self.tables.read().by_name.get(&project)?.get(name).cloned()
    }

    pub(crate) fn by_id(&self, id: FunctionId) -> Option<Arc<FunctionEntry>> {
        self.tables.read().by_id.get(&id).cloned()
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

    /// Walks names under the lock: what does not match costs no copy.
    pub(crate) fn walk(
        &self,
        project: ProjectId,
        walk: &NameWalk<'_>,
        matches: impl Fn(&FunctionEntry) -> bool,
    ) -> Vec<Arc<FunctionEntry>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let tables = self.tables.read();
        let Some(functions) = tables.by_name.get(&project) else { return Vec::new() };
        let edge = walk.after.map_or(Unbounded, Excluded);
        let matching = |entry: &&Arc<FunctionEntry>| matches(entry);
        if walk.descends {
            let range = functions.range::<FunctionName, _>((Unbounded, edge));
            range.rev().map(|(_, entry)| entry).filter(matching).take(walk.limit).cloned().collect()
        } else {
            let range = functions.range::<FunctionName, _>((edge, Unbounded));
            range.map(|(_, entry)| entry).filter(matching).take(walk.limit).cloned().collect()
        }
    }

    pub(crate) fn matching(
        &self,
        project: ProjectId,
        matches: impl Fn(&FunctionEntry) -> bool,
    ) -> Vec<Arc<FunctionEntry>> {
        let tables = self.tables.read();
        let functions = tables.by_name.get(&project).into_iter().flat_map(BTreeMap::values);
        functions.filter(|entry| matches(entry)).cloned().collect()
    }

    pub(crate) fn count(&self, project: ProjectId) -> usize {
        self.tables.read().by_name.get(&project).map_or(0, BTreeMap::len)
    }

    pub(crate) fn all(&self) -> Vec<Arc<FunctionEntry>> {
        self.tables.read().by_name.values().flat_map(|functions| functions.values().cloned()).collect()
    }

    pub(crate) fn timed(&self) -> Vec<Arc<FunctionEntry>> {
        let tables = self.tables.read();
        tables.timed.iter().filter_map(|id| tables.by_id.get(id).cloned()).collect()
    }

    pub(crate) async fn timed_changed(&self) {
        self.timed_changed.notified().await;
    }

    pub(crate) async fn live_kinds_changed(&self) {
        self.live_kinds_changed.notified().await;
    }

    pub(crate) fn live_kinds(&self) -> BTreeSet<LiveKind> {
        self.tables.read().live_kinds.keys().cloned().collect()
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

    fn tell(&self, effects: Effects) {
        if effects.timed {
            self.timed_changed.notify_one();
        }
        if effects.live_kinds {
            self.live_kinds_changed.notify_one();
        }
    }

    /// The policy that was set by hand, which replaces that of every version.
    fn policy_override(&self, id: FunctionId) -> Option<Arc<EgressPolicy>> {
        Some(Arc::new(self.by_id(id)?.record.egress.as_ref()?.in_force()))
    }
}

// === impl Tables ===

impl Tables {
    fn put(&mut self, entry: FunctionEntry) -> Effects {
        let entry = Arc::new(entry);
        let FunctionRecord { id, project, .. } = entry.record;
        let timed = entry.is_timed();
        let gained = entry.record.live_kind.as_ref().is_some_and(|kind| self.gain_kind(kind));
        let functions = self.by_name.entry(project).or_default();
        let replaced = functions.insert(entry.record.name.clone(), Arc::clone(&entry));
        let lost = replaced.is_some_and(|old| {
            // Deleted and made again under its name: nothing of the one before may stay.
            if old.record.id != id {
                self.forget(old.record.id);
            }
            self.lose_kind(&old)
        });
        self.by_id.insert(id, entry);
        if timed {
            self.timed.insert(id);
        } else {
            self.timed.remove(&id);
        }
        Effects { timed, live_kinds: gained || lost }
    }

    fn remove(&mut self, project: ProjectId, name: &FunctionName) -> Effects {
        let Some(functions) = self.by_name.get_mut(&project) else { return Effects::default() };
        let gone = functions.remove(name);
        if functions.is_empty() {
            self.by_name.remove(&project);
        }
        let live_kinds = gone.is_some_and(|gone| {
            self.forget(gone.record.id);
            self.lose_kind(&gone)
        });
        Effects { timed: false, live_kinds }
    }

    fn forget(&mut self, id: FunctionId) {
        self.by_id.remove(&id);
        self.timed.remove(&id);
        self.versions.forget(id);
    }

    /// Whether the kind is new.
    fn gain_kind(&mut self, kind: &LiveKind) -> bool {
        match self.live_kinds.get_mut(kind) {
            Some(count) => *count += 1,
            None => drop(self.live_kinds.insert(kind.clone(), 1)),
        }
        self.live_kinds[kind] == 1
    }

    /// Whether nothing of the entry's kind is left.
    fn lose_kind(&mut self, gone: &FunctionEntry) -> bool {
        let Some((kind, count)) =
            gone.record.live_kind.as_ref().and_then(|kind| Some((kind, self.live_kinds.get_mut(kind)?)))
        else {
            return false;
        };
        *count -= 1;
        let is_last = *count == 0;
        if is_last {
            self.live_kinds.remove(kind);
        }
        is_last
    }
}

#[cfg(test)]
mod tests {
    use faas_types::Timestamp;

    use super::*;

    fn entry(id: u128, name: &str, kind: Option<(&str, u64)>) -> FunctionEntry {
        let live_kind = kind.map(|(runtime, bytes)| (runtime.parse().expect(runtime), ByteSize::from_bytes(bytes)));
        let (id, project) = (FunctionId::from_u128(id), ProjectId::from_u128(1));
        let record = FunctionRecord::new(id, project, name.parse().expect(name), Timestamp::from_millis(0));
        let record = FunctionRecord { live_kind, ..record };
        FunctionEntry::new(record, 1)
    }

    #[test]
    fn only_a_kind_that_comes_or_goes_is_told() {
        let (mut tables, project) = (Tables::default(), ProjectId::from_u128(1));
        let (python, node) = (Some(("python3.12", 1)), Some(("node22", 1)));
        let mut put = |id, name: &str, kind| (tables.put(entry(id, name, kind)).live_kinds, tables.live_kinds.len());
        assert_eq!(put(1, "a", python), (true, 1));
        assert_eq!(put(2, "b", python), (false, 1), "there was one of it");
        assert_eq!(put(2, "b", python), (false, 1), "it is the same");
        assert_eq!(put(2, "b", node), (true, 2));
        assert_eq!(put(3, "b", None), (true, 1), "another function of its name");
        let name = "a".parse().expect("a name");
        assert_eq!((tables.remove(project, &name).live_kinds, tables.live_kinds.len()), (true, 0));
        assert_eq!(tables.remove(project, &name), Effects::default(), "it is gone");
        let ids: Vec<FunctionId> = tables.by_id.keys().copied().collect();
        assert_eq!(ids, [FunctionId::from_u128(3)]);
    }
}
