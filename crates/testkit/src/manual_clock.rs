//! A clock that moves only by hand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faas_ports::{Clock, IdSource};
use faas_types::Timestamp;

use crate::fixture::EPOCH;

/// Time stands still between calls of [`advance`](Self::advance); ids follow from the seed. Two clocks with the same
/// seed tell the same history.
#[derive(Debug)]
pub struct ManualClock {
    now: AtomicU64,
    drawn: AtomicU64,
    seed: u64,
}

// === impl ManualClock ===

impl ManualClock {
    /// A clock at [`EPOCH`].
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { now: AtomicU64::new(EPOCH.as_millis()), drawn: AtomicU64::new(0), seed }
    }

    /// Lets time pass.
    pub fn advance(&self, span: Duration) {
        self.set(self.now().plus(span));
    }

    /// Sets the time, back as well as forth.
    pub fn set(&self, now: Timestamp) {
        self.now.store(now.as_millis(), Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }
}

impl IdSource for ManualClock {
    /// Rises with each call, so that ids of one millisecond sort in the order of their making.
    fn entropy(&self) -> u128 {
        let drawn = self.drawn.fetch_add(1, Ordering::SeqCst);
        u128::from(drawn) << 40 | u128::from(self.seed & 0xff_ffff_ffff)
    }
}

#[cfg(test)]
mod tests {
    use faas_types::RunId;

    use super::*;

    #[test]
    fn the_same_seed_tells_the_same_history() {
        let history = |seed| {
            let clock = ManualClock::new(seed);
            let first: RunId = (&clock as &dyn IdSource).mint(clock.now());
            clock.advance(Duration::from_secs(1));
            let second: RunId = (&clock as &dyn IdSource).mint(clock.now());
            assert!(first < second);
            assert_eq!(second.created_at().since(EPOCH), Duration::from_secs(1));
            [first, second]
        };
        assert_eq!(history(1), history(1));
        assert_ne!(history(1), history(2));
    }
}
