//! Divides the wait of a call into time in the queue and the start of its instance. Pure.

use std::time::{Duration, Instant};

use faas_ports::LaunchTimings;
use faas_types::StartTimes;

/// When an instance became ready, and how long each step of its start took.
#[derive(Clone, Copy, Debug)]
pub struct Readiness {
    /// When it became ready.
    pub at: Instant,
    /// The steps of its start.
    pub timings: LaunchTimings,
}

/// How a call's wait was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitTimes {
    /// Time in the queue, without the start.
    pub queue: Duration,
    /// The part of the start that the call waited for; `None` when the instance was ready before the call arrived.
    pub start: Option<StartTimes>,
}

// === impl Readiness ===

impl Readiness {
    /// The wait of a call that was accepted and then admitted to this instance. A start that began before the call arrived
    /// counts only from then on, so that the parts never exceed the whole.
    pub fn wait(&self, accepted: Instant, admitted: Instant) -> WaitTimes {
        let whole = admitted.saturating_duration_since(accepted);
        let seen = self.at.saturating_duration_since(accepted);
        if seen.is_zero() {
            return WaitTimes { queue: whole, start: None };
        }
        // The steps end at `at`, so the call saw the last of them whole and perhaps not the first.
        let mut left = seen;
        let mut part = |step: Duration| {
            let part = step.min(left);
            left -= part;
            part
        };
        let (import, runtime) = (part(self.timings.import), part(self.timings.runtime));
        let sandbox = part(self.timings.sandbox);
        let start = StartTimes { sandbox_us: micros(sandbox), runtime_us: micros(runtime), import_us: micros(import) };
        WaitTimes { queue: whole.saturating_sub(sandbox + runtime + import), start: Some(start) }
    }
}

/// Whole microseconds.
#[inline]
pub fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn us(count: u64) -> Duration {
        Duration::from_micros(count)
    }

    /// An instance that was ready a second after `base`, after 10, 20 and 30 µs.
    fn readiness(base: Instant) -> Readiness {
        let timings = LaunchTimings { sandbox: us(10), runtime: us(20), import: us(30), ..LaunchTimings::default() };
        Readiness { at: base + us(1_000_000), timings }
    }

    fn wait(accepted: u64, admitted: u64) -> WaitTimes {
        let base = Instant::now();
        readiness(base).wait(base + us(accepted), base + us(admitted))
    }

    fn started(sandbox_us: u64, runtime_us: u64, import_us: u64) -> Option<StartTimes> {
        Some(StartTimes { sandbox_us, runtime_us, import_us })
    }

    #[test]
    fn a_call_after_the_start_is_warm() {
        assert_eq!(wait(1_000_000, 1_000_005), WaitTimes { queue: us(5), start: None });
    }

    #[test]
    fn a_call_before_the_start_sees_all_of_it() {
        assert_eq!(wait(999_000, 1_000_002), WaitTimes { queue: us(942), start: started(10, 20, 30) });
    }

    #[test]
    fn a_call_amid_the_start_sees_what_was_left_of_it() {
        assert_eq!(wait(999_960, 1_000_000), WaitTimes { queue: us(0), start: started(0, 10, 30) });
    }

    proptest! {
        #[test]
        fn the_parts_are_the_whole(accepted in 999_900..1_000_100_u64, more in 0..1_000_u64) {
            let admitted = accepted.max(1_000_000) + more;
            let wait = wait(accepted, admitted);
            let start = wait.start.unwrap_or_default();
            let sum = micros(wait.queue) + start.sandbox_us + start.runtime_us + start.import_us;
            prop_assert_eq!(sum, admitted - accepted);
            prop_assert_eq!(wait.start.is_some(), accepted < 1_000_000);
        }
    }
}
