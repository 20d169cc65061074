//! The versions that were used lately. They never change, so that only their number needs a bound.

use std::collections::HashMap;
use std::sync::Arc;

use faas_types::{FunctionId, VersionRecord};

/// Versions in one generation; two are kept.
const GENERATION: usize = 1_024;

type Name = (FunctionId, u32);

/// Versions by function and number. What is not asked for while a generation fills is forgotten.
#[derive(Default)]
pub(crate) struct VersionCache {
    young: HashMap<Name, Arc<VersionRecord>>,
    old: HashMap<Name, Arc<VersionRecord>>,
}

// === impl VersionCache ===

impl VersionCache {
    /// A version, and whether it should be [put](Self::put) again to stay.
    pub(crate) fn get(&self, name: Name) -> Option<(Arc<VersionRecord>, bool)> {
        match self.young.get(&name) {
            Some(version) => Some((Arc::clone(version), false)),
            None => self.old.get(&name).map(|version| (Arc::clone(version), true)),
        }
    }

    pub(crate) fn put(&mut self, version: Arc<VersionRecord>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert((version.function, version.number), version);
    }

    /// Forgets the versions of a deleted function.
    pub(crate) fn forget(&mut self, function: FunctionId) {
        self.young.retain(|(owner, _), _| *owner != function);
        self.old.retain(|(owner, _), _| *owner != function);
    }

    /// Forgets some versions of a function.
    pub(crate) fn forget_some(&mut self, function: FunctionId, numbers: &[u32]) {
        for number in numbers {
            self.young.remove(&(function, *number));
            self.old.remove(&(function, *number));
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use faas_types::{FunctionSettings, Timestamp};

    use super::*;

    fn version(number: u32) -> Arc<VersionRecord> {
        let settings = FunctionSettings::new(
            "python3.12".parse().expect("a runtime"),
            "main:handler".parse().expect("an entrypoint"),
        );
        Arc::new(VersionRecord {
            id: faas_types::VersionId::from_u128(number.into()),
            function: FunctionId::from_u128(1),
            number,
            bundle: faas_types::Digest::from_bytes([0; 32]),
            arch: String::new(),
            compiled: None,
            dependencies: None,
            layers: Vec::new(),
            file_count: 1,
            size: 1,
            settings,
            declaration: None,
            runtime_exact: String::new(),
            concurrency: 1,
            streams_bodies: false,
            note: None,
            author: None,
            preview: false,
            build_log: None,
            created_at: Timestamp::from_millis(0),
        })
    }

    #[test]
    fn it_stays_small_and_keeps_what_is_used() {
        let mut cache = VersionCache::default();
        let used = (FunctionId::from_u128(1), 0);
        cache.put(version(0));
        for number in 1..20_000 {
            cache.put(version(number));
            let (kept, ages) = cache.get(used).expect("it is asked for all the time");
            if ages {
                cache.put(kept);
            }
            assert!(cache.len() <= 2 * GENERATION);
        }
        assert!(cache.get((used.0, 1)).is_none());
        cache.forget(used.0);
        assert_eq!(cache.len(), 0);
    }
}
