//! How many instances to start and to keep, and when a refused caller should come again. Pure.

use std::time::{Duration, Instant};

use super::queue::Progress;

/// The longest `Retry-After`, in seconds.
const RETRY_AFTER_MAX: u32 = 60;
/// How much of an average an old sample keeps when a new one comes.
const KEPT_OF_AVERAGE: f64 = 0.875;
/// In how many idle timeouts half of the demand is forgotten.
const HALF_LIFE: f64 = 0.2;

/// What a pool looks like when something changed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// Calls that wait.
    pub waiting: u32,
    /// Instances that serve.
    pub live: u32,
    /// Instances that are being started.
    pub starting: u32,
    /// Instances at the most.
    pub max: u32,
    /// Calls that one instance takes at once.
    pub concurrency: u32,
    /// How long a call holds its place; `None` before the first one ended.
    pub call: Option<Duration>,
    /// How long a start takes; `None` before the first one.
    pub start: Option<Duration>,
    /// What the oldest call has seen.
    pub progress: Progress,
}

/// A moving average of durations.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Average(Option<f64>);

/// How many instances were in use at once lately. What nobody uses any more is forgotten by halves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    level: f64,
    /// The most in use since `at`.
    peak: u32,
    at: Instant,
}

/// How many instances to start now.
///
/// Each waiting call gets a place under way, unless the instances that serve will have cleared the queue before another
/// one could be ready: ten calls of 100 µs need no ten starts of 10 ms. Where that is not known, or where nobody was
/// served for longer than a start takes, a place is started for each.
pub(crate) fn starts_wanted(load: Load) -> u32 {
    let one_each = load.waiting.div_ceil(load.concurrency.max(1));
    let needed = match (load.pace(), load.start) {
        (Some(call), Some(start)) if load.live > 0 => one_each.min(worth(load, call, start)),
        _ => one_each,
    };
    needed.saturating_sub(load.starting).min(load.max.saturating_sub(load.live + load.starting))
}

/// How many new instances clear what is left of the queue when they are ready within as long as they took to start.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of calls, saturating")]
fn worth(load: Load, call: Duration, start: Duration) -> u32 {
    let calls_per_start = start.as_secs_f64() / call.as_secs_f64().max(1e-6) * f64::from(load.concurrency.max(1));
    let left = f64::from(load.waiting) - calls_per_start * f64::from(load.live);
    if left <= 0.0 { 0 } else { (left / calls_per_start).ceil().max(1.0) as u32 }
}

/// Seconds after which a refused caller finds `ahead` calls done by `places` that take `call` each.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a minute")]
pub(crate) fn retry_after(ahead: u32, places: u32, call: Option<Duration>) -> u32 {
    let Some(call) = call else { return 1 };
    let seconds = f64::from(ahead) * call.as_secs_f64() / f64::from(places.max(1));
    (seconds.ceil() as u32).clamp(1, RETRY_AFTER_MAX)
}

// === impl Load ===

impl Load {
    /// How long a call holds its place: as calls did lately, until one has waited longer than a start takes. From then on
    /// what it saw counts: more instances help no one where those that serve are held up by the processors.
    fn pace(&self) -> Option<Duration> {
        let Progress { waited, served } = self.progress;
        if self.start.is_none_or(|start| waited <= start) {
            return self.call;
        }
        let places = f64::from(self.live) * f64::from(self.concurrency.max(1));
        #[expect(clippy::cast_precision_loss, reason = "more than 2^52 calls in one wait are none")]
        let each = waited.as_secs_f64() * places / served as f64;
        Duration::try_from_secs_f64(each).ok()
    }
}

// === impl Average ===

impl Average {
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

    /// So many are in use. Costs a comparison: the clock is only looked at when somebody asks.
    pub(crate) fn note(&mut self, in_use: u32) {
        self.peak = self.peak.max(in_use);
    }

    /// How many instances to keep, of which `in_use` work now.
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

    fn load() -> impl Strategy<Value = Load> {
        let times = (proptest::option::of(1..10_000_000_u32), proptest::option::of(1..1_000_000_u32), 0..100_000_u32);
        (0..3000_u32, 0..1000_u32, 0..1000_u32, 1..1000_u32, 1..100_u32, times, 0..5000_u64).prop_map(
            |(waiting, live, starting, max, concurrency, (call, start, waited), served)| Load {
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
        let busy =
            Load { live: 1, max: 100, concurrency: 1, call: Some(US * 100), start: Some(MS * 10), ..Load::default() };
        assert_eq!(starts_wanted(Load { waiting: 10, ..busy }), 0, "done in 1 ms");
        assert_eq!(starts_wanted(Load { waiting: 150, ..busy }), 1, "one more clears the rest");
        let seen = |served| Load { waiting: 10, progress: Progress { waited: MS * 11, served }, ..busy };
        assert_eq!(starts_wanted(seen(0)), 10, "the estimate was wrong");
        assert_eq!(starts_wanted(seen(1)), 10, "far too low");
        assert_eq!(starts_wanted(seen(6)), 1, "a little too low");
        assert_eq!(starts_wanted(seen(30)), 0, "the queue is long and moves on");
        assert_eq!(starts_wanted(Load { waiting: 10, call: None, ..busy }), 10, "unknown");
        assert_eq!(starts_wanted(Load { waiting: 10, live: 0, ..busy }), 10, "nobody serves");
        let long = Load { call: Some(MS * 1000), waiting: 50, ..busy };
        assert_eq!(starts_wanted(long), 50, "one each for long calls");
        assert_eq!(starts_wanted(Load { starting: 20, ..long }), 30);
    }

    #[test]
    fn demand_fades_by_halves() {
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
    fn a_retry_finds_the_queue_done() {
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
        fn nobody_starts_more_than_one_place_for_each_call(load in load()) {
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
