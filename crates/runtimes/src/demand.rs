//! How many instances of a profile should wait, from how many were taken recently. Pure: time is an argument.

use std::time::{Duration, Instant};

/// In this time a start counts for half.
const HALF_LIFE: Duration = Duration::from_secs(10);

/// Starts of a profile, the older the less.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    starts: f64,
    at: Instant,
}

/// Bounds of what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Depth {
    /// Without any demand.
    pub(crate) least: usize,
    /// Whatever the demand.
    pub(crate) most: usize,
}

// === impl Demand ===

impl Demand {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { starts: 0.0, at: now }
    }

    /// Counts one start.
    pub(crate) fn note(&mut self, now: Instant) {
        self.starts = self.left(now) + 1.0;
        self.at = now;
    }

    /// How many should wait now.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped right after")]
    pub(crate) fn target(&self, depth: Depth, now: Instant) -> usize {
        (self.left(now).round() as usize).clamp(depth.least, depth.most)
    }

    fn left(&self, now: Instant) -> f64 {
        let halvings = now.saturating_duration_since(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.starts * 0.5_f64.powf(halvings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demand_deepens_within_its_bounds_and_wears_off() {
        let begin = Instant::now();
        let depth = Depth { least: 4, most: 16 };
        let mut demand = Demand::new(begin);
        assert_eq!(demand.target(depth, begin), 4);
        (0..10).for_each(|_| demand.note(begin));
        assert_eq!(demand.target(depth, begin), 10);
        (0..90).for_each(|_| demand.note(begin));
        assert_eq!(demand.target(depth, begin), 16);
        assert_eq!(demand.target(depth, begin + 4 * HALF_LIFE), 6);
        assert_eq!(demand.target(depth, begin + 20 * HALF_LIFE), 4);
    }
}
