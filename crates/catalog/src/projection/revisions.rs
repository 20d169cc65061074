//! The newest revision seen of each key. Changes arrive twice, by the watch and from the process that commits them, and
//! the later one can be the older change.

use std::collections::{HashMap, VecDeque};

use faas_ports::Key;

/// Deletions that are remembered, so that an older change that arrives late does not bring the entry back.
const DELETIONS_MAX: usize = 1_024;

/// Revisions by key.
#[derive(Debug, Default)]
pub(super) struct Revisions {
    seen: HashMap<Key, Seen>,
    deletions: VecDeque<(Key, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    revision: u64,
    deleted: bool,
}

// === impl Revisions ===

impl Revisions {
    /// Records a change; false when a newer one or the same is known.
    pub(super) fn advance(&mut self, key: &Key, revision: u64) -> bool {
        self.set(key, Seen { revision, deleted: false })
    }

    /// Records a deletion; false when a newer change or the same is known.
    pub(super) fn delete(&mut self, key: &Key, revision: u64) -> bool {
        let is_new = self.set(key, Seen { revision, deleted: true });
        if is_new {
            self.remember(key, revision);
        }
        is_new
    }

    /// Records that an entry of this revision was found missing; false when it has changed since.
    pub(super) fn delete_missing(&mut self, key: &Key, revision: u64) -> bool {
        let Some(seen) = self.seen.get_mut(key).filter(|seen| seen.revision == revision && !seen.deleted) else {
            return false;
        };
        seen.deleted = true;
        self.remember(key, revision);
        true
    }

    /// The entries that exist, with their revisions.
    pub(super) fn live(&self) -> Vec<(Key, u64)> {
        let live = self.seen.iter().filter(|(_, seen)| !seen.deleted);
        live.map(|(key, seen)| (key.clone(), seen.revision)).collect()
    }

    fn set(&mut self, key: &Key, now: Seen) -> bool {
        match self.seen.get_mut(key) {
            Some(seen) if seen.revision >= now.revision => return false,
            Some(seen) => *seen = now,
            None => drop(self.seen.insert(key.clone(), now)),
        }
        true
    }

    fn remember(&mut self, key: &Key, revision: u64) {
        self.deletions.push_back((key.clone(), revision));
        if self.deletions.len() <= DELETIONS_MAX {
            return;
        }
        let Some((oldest, revision)) = self.deletions.pop_front() else { return };
        if self.seen.get(&oldest).is_some_and(|seen| seen.deleted && seen.revision == revision) {
            self.seen.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use faas_ports::Collection;
    use faas_types::ProjectId;

    use super::*;

    fn key(name: &str) -> Key {
        Key::new(ProjectId::from_u128(1), Collection::Keys, name)
    }

    #[test]
    fn an_older_change_that_arrives_late_brings_nothing_back() {
        let mut revisions = Revisions::default();
        assert!(revisions.advance(&key("a"), 1) && !revisions.advance(&key("a"), 1));
        assert!(revisions.delete(&key("a"), 3));
        assert!(!revisions.advance(&key("a"), 2), "it was committed before the deletion");
        assert!(revisions.advance(&key("a"), 4));
    }

    #[test]
    fn an_entry_that_changed_since_is_not_missing() {
        let mut revisions = Revisions::default();
        assert!(revisions.advance(&key("a"), 1) && revisions.advance(&key("a"), 2));
        assert!(!revisions.delete_missing(&key("a"), 1));
        assert!(revisions.delete_missing(&key("a"), 2) && revisions.live().is_empty());
    }

    #[test]
    fn deletions_are_bounded() {
        let mut revisions = Revisions::default();
        for n in 1..10_000 {
            revisions.advance(&key(&format!("k{n}")), n * 2);
            revisions.delete(&key(&format!("k{n}")), n * 2 + 1);
        }
        assert_eq!((revisions.seen.len(), revisions.deletions.len()), (DELETIONS_MAX, DELETIONS_MAX));
    }
}
