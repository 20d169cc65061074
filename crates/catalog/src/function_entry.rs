//! A function in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use faas_ports::{Expect, Key};
use faas_types::{AliasName, FunctionRecord, Lot};

use crate::fingerprint::FingerprintCache;
use crate::records::function_key;

/// A function with the registry's revision of its record.
#[derive(Debug)]
pub struct FunctionEntry {
    /// The record.
    pub record: FunctionRecord,
    /// The revision to expect when changing it.
    pub revision: u64,
    /// Fingerprints of the vars of its versions.
    pub(crate) fingerprints: FingerprintCache,
    /// Whether a change holds for this revision alone.
    pub(crate) is_pinned: bool,
    /// Calls of each alias that splits them.
    turns: BTreeMap<AliasName, AtomicU64>,
}

// === impl FunctionEntry ===

impl FunctionEntry {
    /// An entry of a record at this revision.
    pub fn new(record: FunctionRecord, revision: u64) -> Self {
        let split = record.aliases.iter().filter(|(_, alias)| alias.split.is_some());
        // Starts elsewhere with each change, so that changes in quick succession favour no version.
        let turns = split.map(|(name, _)| (name.clone(), AtomicU64::new(revision.wrapping_mul(7919)))).collect();
        Self { record, revision, fingerprints: FingerprintCache::default(), is_pinned: false, turns }
    }

    /// The same record, whose changes are refused with `FN_031` when another writer was first.
    #[must_use]
    pub fn pinned(&self) -> Self {
        Self { is_pinned: true, ..Self::new(self.record.clone(), self.revision) }
    }

    /// The lot of the next call of an alias.
    pub fn draw(&self, alias: &AliasName) -> Lot {
        Lot::of_turn(self.turns.get(alias).map_or(0, |turn| turn.fetch_add(1, Ordering::Relaxed)))
    }

    /// The version that `live` points to, the first one where it splits.
    pub fn live_version(&self) -> Option<u32> {
        self.record.live().map(|alias| alias.version)
    }

    /// The key of the record.
    pub fn key(&self) -> Key {
        function_key(self.record.project, &self.record.name)
    }

    /// What a commit that removes the record expects of it.
    pub fn expected(&self) -> Expect {
        if self.is_pinned { Expect::Revision(self.revision) } else { Expect::Any }
    }

    /// Whether the record changes with time: a canary is under way, or an alias expires.
    pub(crate) fn is_timed(&self) -> bool {
        self.record.canary.is_some() || self.record.aliases.values().any(|alias| alias.expires_at.is_some())
    }
}
