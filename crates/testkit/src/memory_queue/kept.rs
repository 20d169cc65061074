//! Inputs of ended runs in memory.

use std::collections::BTreeMap;

use faas_ports::{ByteBounds, Footprint};
use faas_types::{Digest, FunctionId, ProjectId, RunId};

use super::{Slot, State};

/// What the inputs of ended runs take.
#[derive(Debug, Default)]
pub(super) struct KeptTable {
    rows: BTreeMap<(ProjectId, RunId), Kept>,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    function: FunctionId,
    /// Those of a lower rank go first.
    rank: u8,
    footprint: Footprint,
}

// === impl KeptTable ===

impl KeptTable {
    pub(super) fn add(&mut self, slot: &Slot, is_dead: bool) {
        let (project, function) = slot.owner();
        let rank = 2 * u8::from(!slot.footprint.keyless) + u8::from(is_dead);
        self.rows.insert((project, slot.record.id), Kept { function, rank, footprint: slot.footprint });
    }

    /// Its blob.
    pub(super) fn remove(&mut self, key: (ProjectId, RunId)) -> Option<Digest> {
        self.rows.remove(&key).and_then(|kept| kept.footprint.blob)
    }

    fn bytes(&self, takes: impl Fn(&(ProjectId, RunId), &Kept) -> bool) -> u64 {
        self.rows.iter().filter(|(key, kept)| takes(key, kept)).map(|(_, kept)| kept.footprint.bytes).sum()
    }

    fn of_function(&self, project: ProjectId, function: FunctionId) -> u64 {
        self.bytes(|key, kept| key.0 == project && kept.function == function)
    }

    /// The input of these functions and their projects that has to go next, if any has.
    fn surplus(&self, owners: &[(ProjectId, FunctionId)], bounds: ByteBounds) -> Option<(ProjectId, RunId)> {
        let of = |owner: &(ProjectId, FunctionId)| self.of_function(owner.0, owner.1);
        let full = owners.iter().copied().find(|owner| of(owner) > bounds.function);
        let largest = || {
            let crowded = |owner: &&(ProjectId, FunctionId)| self.bytes(|key, _| key.0 == owner.0) > bounds.project;
            let (project, _) = owners.iter().find(crowded)?;
            let all = self.rows.iter().filter(|(key, _)| key.0 == *project);
            all.map(|(key, kept)| (key.0, kept.function)).max_by_key(of)
        };
        let (project, function) = full.or_else(largest)?;
        let own = self.rows.iter().filter(|(key, kept)| (key.0, kept.function) == (project, function));
        own.min_by_key(|(key, kept)| (kept.rank, key.1)).map(|(key, _)| *key)
    }
}

// === impl State ===

impl State {
    /// Removes inputs beyond the bounds, of functions whose runs have just ended.
    pub(super) fn trim(&mut self, owners: &[(ProjectId, FunctionId)], bounds: ByteBounds) -> Vec<Digest> {
        let mut freed = Vec::new();
        while let Some(key) = self.kept.surplus(owners, bounds) {
            self.dead.remove(&key);
            self.inputs.remove(&key);
            freed.extend(self.kept.remove(key));
        }
        freed
    }
}
