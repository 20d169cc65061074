//! How many instances to start and to keep, and when a refused caller should retry. Pure.

use std::time::{Duration, Instant};

use super::queue::Progress;

/// The longest `Retry-After`, in seconds.
const RETRY_AFTER_MAX: u32 = 60;
/// The weight of older samples in a moving average.
const KEPT_OF_AVERAGE: f64 = 0.875;
/// Idle timeouts after which demand counts half.
const HALF_LIFE: f64 = 0.2;

/// The state of a pool that decides how many starts it wants.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PoolLoad {
    /// Calls that wait.
    pub waiting: u32,
    /// Instances that serve.
    pub live: u32,
    /// Instances that are being started.
    pub starting: u32,
    /// The maximum of instances.
    pub max: u32,
    /// Calls that one instance serves at once.
    pub concurrency: u32,
    /// How long a call holds its permit; `None` before the first one ended.
    pub call: Option<Duration>,
    /// How long a start takes; `None` before the first one.
    pub start: Option<Duration>,
    /// What the oldest waiting call has seen.
    pub progress: Progress,
}

/// A moving average of durations.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MovingAverage(Option<f64>);

/// How many instances were in use at once recently. Unused demand decays exponentially.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    level: f64,
    /// The peak since `at`.
    peak: u32,
    at: Instant,
}

/// How many instances to start now.
///
/// One slot is started for each waiting call, unless the serving instances will have cleared the queue before another
/// one could be ready: ten calls of 100 µs do not need ten starts of 10 ms. When that is unknown, or when no call was
/// served for longer than a start takes, each call gets a start.
pub(crate) fn starts_wanted(load: PoolLoad) -> u32 {
    let one_each = load.waiting.div_ceil(load.concurrency.max(1));
    let needed = match (load.pace(), load.start) {
        (Some(call), Some(start)) if load.live > 0 => one_each.min(starts_to_clear(load, call, start)),
        _ => one_each,
    };
    needed.saturating_sub(load.starting).min(load.max.saturating_sub(load.live + load.starting))
}

/// How many new instances are needed to clear what is left of the queue once they are ready, in as long as a start takes.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of calls, saturating")]
fn starts_to_clear(load: PoolLoad, call: Duration, start: Duration) -> u32 {
    let calls_per_start = start.as_secs_f64() / call.as_secs_f64().max(1e-6) * f64::from(load.concurrency.max(1));
    let left = f64::from(load.waiting) - calls_per_start * f64::from(load.live);
    if left <= 0.0 { 0 } else { (left / calls_per_start).ceil().max(1.0) as u32 }
}

/// Seconds until `slots` have served `ahead` calls that take `call` each.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a minute")]
pub(crate) fn retry_after(ahead: u32, slots: u32, call: Option<Duration>) -> u32 {
    let Some(call) = call else { return 1 };
    let seconds = f64::from(ahead) * call.as_secs_f64() / f64::from(slots.max(1));
    (seconds.ceil() as u32).clamp(1, RETRY_AFTER_MAX)
}

// === impl PoolLoad ===

impl PoolLoad {
    /// How long a call holds its permit: the recent average, until a call has waited longer than a start takes. From then
    /// on the progress that it saw counts: more instances do not help when the serving ones lack processor time.
    fn pace(&self) -> Option<Duration> {
        let Progress { waited, served } = self.progress;
        if self.start.is_none_or(|start| waited <= start) {
            return self.call;
        }
        let slots = f64::from(self.live) * f64::from(self.concurrency.max(1));
        #[expect(clippy::cast_precision_loss, reason = "one wait never sees 2^52 calls")]
        let each = waited.as_secs_f64() * slots / served as f64;
        Duration::try_from_secs_f64(each).ok()
    }
}

// === impl MovingAverage ===

impl MovingAverage {
    pub(crate) fn add(&mut self, sample: Duration) {
        let sample = sample.as_secs_f64();
        self.0 = Some(self.0.map_or(sample, |old| old * KEPT_OF_AVERAGE + sample * (1.0 - KEPT_OF_AVERAGE)));
    }

    pub(crate) fn get(&self) -> Option<Duration> {
        self.0.map(Duration::from_secs_f64)
    }
}

// === impl Demand ===

impl Demand {
    pub(crate) fn new(now: Instant) -> Self {
        Self { level: 0.0, peak: 0, at: now }
    }

    /// Notes the number of instances in use. Costs a comparison; the clock is only read by [`keep`](Self::keep).
    pub(crate) fn note(&mut self, in_use: u32) {
        self.peak = self.peak.max(in_use);
    }

    /// How many instances to keep, while `in_use` have calls.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of instances")]
    pub(crate) fn keep(&mut self, in_use: u32, idle_timeout: Duration, now: Instant) -> u32 {
        let half_life = idle_timeout.as_secs_f64().max(1e-3) * HALF_LIFE;
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level * (-passed / half_life).exp2()).max(f64::from(self.peak));
        (self.peak, self.at) = (in_use, now);
        self.level.ceil() as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const US: Duration = Duration::from_micros(1);
    const MS: Duration = Duration::from_millis(1);

    fn load() -> impl Strategy<Value = PoolLoad> {
        let times = (proptest::option::of(1..10_000_000_u32), proptest::option::of(1..1_000_000_u32), 0..100_000_u32);
        (0..3000_u32, 0..1000_u32, 0..1000_u32, 1..1000_u32, 1..100_u32, times, 0..5000_u64).prop_map(
            |(waiting, live, starting, max, concurrency, (call, start, waited), served)| PoolLoad {
                waiting,
                live,
                starting,
                max,
                concurrency,
                call: call.map(|us| US * us),
                start: start.map(|us| US * us),
                progress: Progress { waited: US * waited, served },
            },
        )
    }

    #[test]
    fn short_calls_wait_for_the_one_that_serves() {
        let busy = PoolLoad {
            live: 1,
            max: 100,
            concurrency: 1,
            call: Some(US * 100),
            start: Some(MS * 10),
            ..PoolLoad::default()
        };
        assert_eq!(starts_wanted(PoolLoad { waiting: 10, ..busy }), 0, "done in 1 ms");
        assert_eq!(starts_wanted(PoolLoad { waiting: 150, ..busy }), 1, "one more clears the rest");
        let seen = |served| PoolLoad { waiting: 10, progress: Progress { waited: MS * 11, served }, ..busy };
        assert_eq!(starts_wanted(seen(0)), 10, "the estimate was wrong");
        assert_eq!(starts_wanted(seen(1)), 10, "far too low");
        assert_eq!(starts_wanted(seen(6)), 1, "a little too low");
        assert_eq!(starts_wanted(seen(30)), 0, "the queue is long and moves on");
        assert_eq!(starts_wanted(PoolLoad { waiting: 10, call: None, ..busy }), 10, "unknown");
        assert_eq!(starts_wanted(PoolLoad { waiting: 10, live: 0, ..busy }), 10, "no instance serves");
        let long = PoolLoad { call: Some(MS * 1000), waiting: 50, ..busy };
        assert_eq!(starts_wanted(long), 50, "one each for long calls");
        assert_eq!(starts_wanted(PoolLoad { starting: 20, ..long }), 30);
    }

    #[test]
    fn demand_decays_exponentially() {
        let begun = Instant::now();
        let mut demand = Demand::new(begun);
        let idle = Duration::from_secs(100);
        demand.note(64);
        assert_eq!(demand.keep(0, idle, begun), 64);
        assert_eq!(demand.keep(0, idle, begun + Duration::from_secs(20)), 32);
        assert_eq!(demand.keep(0, idle, begun + Duration::from_secs(40)), 16);
        demand.note(40);
        assert_eq!(demand.keep(3, idle, begun + Duration::from_secs(60)), 40);
        assert_eq!(demand.keep(3, idle, begun + Duration::from_secs(260)), 3);
    }

    #[test]
    fn a_retry_finds_an_empty_queue() {
        assert_eq!(retry_after(100, 10, Some(MS * 1000)), 10);
        assert_eq!(retry_after(100, 10, Some(MS)), 1);
        assert_eq!(retry_after(100_000, 0, Some(MS * 1000)), 60);
        assert_eq!(retry_after(100, 10, None), 1);
    }

    proptest! {
        #[test]
        fn starts_never_pass_the_maximum(load in load()) {
            let starts = starts_wanted(load);
            prop_assert!(starts == 0 || load.live + load.starting + starts <= load.max);
        }

        #[test]
        fn a_waiting_call_has_a_start_or_an_instance_to_wait_for(mut load in load()) {
            load.waiting = load.waiting.max(1);
            prop_assert!(load.live + load.starting + starts_wanted(load) > 0);
        }

        #[test]
        fn no_more_than_one_slot_is_started_for_each_call(load in load()) {
            prop_assert!(starts_wanted(load) <= load.waiting.div_ceil(load.concurrency));
        }

        #[test]
        fn more_waiting_never_wants_less(mut load in load()) {
            let before = starts_wanted(load);
            load.waiting += 1;
            prop_assert!(starts_wanted(load) >= before);
        }
    }
}
