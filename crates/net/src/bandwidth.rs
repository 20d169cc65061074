//! How many bytes a sandbox, or all of a project, may move in a second.

use std::num::NonZeroU64;
use std::time::Duration;

/// What may be moved at once is what moves in this time,
const BURST: f64 = 0.1;
/// or this, so that a turn always fits.
const BURST_MIN: f64 = 1_048_576.0;
/// Pauses are not shorter.
const PAUSE_MIN: f64 = 0.002;

/// Tells when more was moved than may be. A sandbox may overdraw it by one turn, which the next pause makes up for.
#[derive(Debug)]
pub(crate) struct Bandwidth {
    a_second: f64,
    left: f64,
    since: Duration,
}

impl Bandwidth {
    pub(crate) fn new(a_second: NonZeroU64, now: Duration) -> Self {
        let a_second = a_second.get() as f64;
        Self { a_second, left: burst(a_second), since: now }
    }

    /// Takes what was moved; how long nothing may be moved now.
    pub(crate) fn spend(&mut self, bytes: u64, now: Duration) -> Option<Duration> {
        let passed = now.saturating_sub(self.since).as_secs_f64();
        self.since = now.max(self.since);
        self.left = (self.left + passed * self.a_second).min(burst(self.a_second));
        self.left -= bytes as f64;
        (self.left < 0.0).then(|| Duration::from_secs_f64((-self.left / self.a_second).clamp(PAUSE_MIN, 3_600.0)))
    }
}

fn burst(a_second: f64) -> f64 {
    (a_second * BURST).max(BURST_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_time_no_more_is_moved_than_the_rate() {
        let rate = NonZeroU64::new(50_000_000).expect("not zero");
        let mut bandwidth = Bandwidth::new(rate, Duration::ZERO);
        let (mut now, mut total) = (Duration::ZERO, 0);
        while now < Duration::from_secs(10) {
            total += 300_000;
            now += bandwidth.spend(300_000, now).unwrap_or(Duration::from_micros(50));
        }
        assert!((490_000_000..=506_000_000).contains(&total), "{total}");
    }

    #[test]
    fn what_is_not_used_is_not_saved() {
        let rate = NonZeroU64::new(1_000).expect("not zero");
        let mut bandwidth = Bandwidth::new(rate, Duration::ZERO);
        let later = Duration::from_secs(3_600);
        assert_eq!(bandwidth.spend(1_000_000, later), None);
        let pause = bandwidth.spend(100_000, later).expect("a pause");
        assert!((Duration::from_secs(50)..Duration::from_secs(53)).contains(&pause), "{pause:?}");
        assert_eq!(bandwidth.spend(0, later + pause), None);
    }
}
