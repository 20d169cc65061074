//! Time and randomness, injected so that a simulation can own both.

use std::time::{SystemTime, UNIX_EPOCH};

use faas_types::Timestamp;
use faas_types::id::{Id, IdKind};

/// Tells the wall-clock time. Spans are measured with `std::time::Instant` where nothing decides on them.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Makes ids.
pub trait IdSource: Send + Sync {
    /// 128 random bits.
    fn entropy(&self) -> u128;
}

/// The operating system's clock and random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

// === impl IdSource ===

impl dyn IdSource + '_ {
    /// A new id of kind `K`, created at `at`.
    pub fn mint<K: IdKind>(&self, at: Timestamp) -> Id<K> {
        Id::mint(at, self.entropy())
    }
}

// === impl SystemClock ===

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

impl IdSource for SystemClock {
    fn entropy(&self) -> u128 {
        use std::hash::{BuildHasher, Hasher, RandomState};
        // The standard library seeds each `RandomState` from the operating system and steps it per call:
        // unique, cheap, and ids are names, not secrets.
        let half = || u128::from(RandomState::new().build_hasher().finish());
        half() << 64 | half()
    }
}
