//! The states of triggers. A schedule's mark is stored at once; counters are stored a little later, many in one commit.

use std::collections::HashMap;
use std::sync::Arc;

use faas_catalog::{decode, encode, snapshot};
use faas_ports::{COMMIT_MAX, Collection, Expect, PortResult, Registry, Write};
use faas_types::{Fault, ProjectId, TriggerId};
use parking_lot::Mutex;

use super::record::{TriggerState, state_key};

/// The states of all triggers in memory.
pub(super) struct TriggerStates {
    registry: Arc<dyn Registry>,
    known: Mutex<HashMap<TriggerId, TrackedState>>,
}

struct TrackedState {
    project: ProjectId,
    state: TriggerState,
    /// Whether it differs from what is stored.
    changed: bool,
}

// === impl TriggerStates ===

impl TriggerStates {
    pub(super) async fn load(registry: Arc<dyn Registry>) -> PortResult<Self> {
        let mut known = HashMap::new();
        for entry in snapshot(&*registry, Collection::TriggerStates).await? {
            // An unreadable state counts as empty; `active_since` of the record still bounds the ticks.
            let state = decode::<TriggerState>(&entry.key, &entry.value);
            if let (Ok(id), Ok(state)) = (entry.key.name.parse(), state) {
                known.insert(id, TrackedState { project: entry.key.project, state, changed: false });
            }
        }
        Ok(Self { registry, known: Mutex::new(known) })
    }

    pub(super) fn get(&self, id: TriggerId) -> TriggerState {
        self.known.lock().get(&id).map(|tracked| tracked.state.clone()).unwrap_or_default()
    }

    /// Changes a state in memory. [`flush`](Self::flush) stores it.
    pub(super) fn note(&self, project: ProjectId, id: TriggerId, change: impl FnOnce(&mut TriggerState)) {
        let mut known = self.known.lock();
        let tracked =
            known.entry(id).or_insert_with(|| TrackedState { project, state: TriggerState::default(), changed: false });
        change(&mut tracked.state);
        tracked.changed = true;
    }

    /// Changes a state and commits it before it returns.
    pub(super) async fn save(
        &self,
        project: ProjectId,
        id: TriggerId,
        change: impl FnOnce(&mut TriggerState),
    ) -> Result<(), Fault> {
        self.note(project, id, change);
        self.store(vec![(project, id)]).await
    }

    /// Stores every state that changed.
    pub(super) async fn flush(&self) -> Result<(), Fault> {
        let changed: Vec<_> = {
            let known = self.known.lock();
            known.iter().filter(|(_, tracked)| tracked.changed).map(|(id, tracked)| (tracked.project, *id)).collect()
        };
        for some in changed.chunks(COMMIT_MAX) {
            self.store(some.to_vec()).await?;
        }
        Ok(())
    }

    async fn store(&self, ids: Vec<(ProjectId, TriggerId)>) -> Result<(), Fault> {
        let mut writes = Vec::with_capacity(ids.len());
        {
            let mut known = self.known.lock();
            for (project, id) in &ids {
                let Some(tracked) = known.get_mut(id) else { continue };
                let value = encode(&tracked.state)?;
                tracked.changed = false;
                writes.push(Write::Put { key: state_key(*project, *id), value, expect: Expect::Any });
            }
        }
        if writes.is_empty() {
            return Ok(());
        }
        let stored = self.registry.commit(writes).await;
        if stored.is_err() {
            let mut known = self.known.lock();
            for (_, id) in &ids {
                if let Some(tracked) = known.get_mut(id) {
                    tracked.changed = true;
                }
            }
        }
        Ok(stored.map(drop)?)
    }

    /// Drops the state of a deleted trigger.
    pub(super) fn forget(&self, id: TriggerId) {
        self.known.lock().remove(&id);
    }
}
