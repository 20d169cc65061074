//! How often something may be done. Pure.

use std::time::{Duration, Instant};

/// Lets a number a second through, and twice as many at once after a pause.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: f64,
    tokens: f64,
    filled: Instant,
}

// === impl Bucket ===

impl Bucket {
    pub(super) fn new(rate: u32, now: Instant) -> Self {
        let rate = f64::from(rate);
        Self { rate, tokens: rate * 2.0, filled: now }
    }

    /// Whether it stands as after a pause.
    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.tokens >= self.rate * 2.0
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = self.filled.max(now);
        self.tokens = (self.tokens + passed * self.rate).min(self.rate * 2.0);
    }

    /// Takes one out, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        self.take_within(Duration::ZERO, now).is_some()
    }

    /// Takes one out that is there now or within this time; how long it takes until then.
    pub(super) fn take_within(&mut self, patience: Duration, now: Instant) -> Option<Duration> {
        self.fill(now);
        let missing = (1.0 - self.tokens).max(0.0);
        if missing > patience.as_secs_f64() * self.rate {
            return None;
        }
        self.tokens -= 1.0;
        Some(if missing > 0.0 { Duration::from_secs_f64(missing / self.rate) } else { Duration::ZERO })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_a_burst_waits_for_its_turn_within_a_bound() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start);
        let second = Duration::from_secs(1);
        let pauses: Vec<_> = (0..100).map_while(|_| bucket.take_within(second, start)).collect();
        assert_eq!(pauses.len(), 30, "a burst, and what the rate lets through in a second");
        assert!(pauses[..20].iter().all(Duration::is_zero) && pauses[20..].is_sorted());
        assert!(pauses[20] > second / 11 && pauses[29] > second * 9 / 10 && pauses[29] <= second, "{pauses:?}");
        assert!(!bucket.take(start + second), "what was promised is taken");
        assert!(bucket.take(start + second + second / 9));
        assert!(Bucket::new(0, start).take_within(second, start).is_none());
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start);
        assert_eq!((0..100).filter(|_| bucket.take(start)).count(), 20);
        let later = start + Duration::from_millis(500);
        assert_eq!((0..100).filter(|_| bucket.take(later)).count(), 5);
        assert!(!bucket.take(start), "time does not go back");
        let later = start + Duration::from_secs(3_600);
        assert_eq!((0..100).filter(|_| bucket.take(later)).count(), 20);
    }
}
