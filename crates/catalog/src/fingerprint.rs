//! Identifies the vars and secrets of instances.

use faas_types::Stage;
use parking_lot::RwLock;

/// Fingerprints that one function keeps: its versions times the stages that are called at the same time.
const CACHED_MAX: usize = 32;

/// Identifies an environment of vars and secrets within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VarsFingerprint(u64);

/// Fingerprints of a function's versions, so that a warm call costs one look.
#[derive(Debug, Default)]
pub(crate) struct FingerprintCache(RwLock<Vec<Cached>>);

#[derive(Clone, Copy, Debug)]
struct Cached {
    version: u32,
    stage: Stage,
    /// The state of the [`VarStore`](crate::VarStore) that it was computed from.
    generation: u64,
    fingerprint: VarsFingerprint,
}

// === impl VarsFingerprint ===

impl VarsFingerprint {
    pub(crate) fn new(hash: u64) -> Self {
        Self(hash)
    }

    /// The fingerprint as a number, for keys of caches and pools.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

// === impl FingerprintCache ===

impl FingerprintCache {
    pub(crate) fn get_or_compute(
        &self,
        version: u32,
        stage: Stage,
        generation: u64,
        compute: impl FnOnce() -> VarsFingerprint,
    ) -> VarsFingerprint {
        let is_wanted = |cached: &&Cached| cached.version == version && cached.stage == stage;
        let known = self.0.read().iter().find(is_wanted).copied();
        if let Some(known) = known.filter(|known| known.generation == generation) {
            return known.fingerprint;
        }
        let fingerprint = compute();
        let mut all = self.0.write();
        all.retain(|cached| !is_wanted(&cached));
        if all.len() >= CACHED_MAX {
            all.remove(0);
        }
        all.push(Cached { version, stage, generation, fingerprint });
        fingerprint
    }
}
