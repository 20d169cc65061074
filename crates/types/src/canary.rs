//! A new version that takes over step by step, or not at all: decided from counts alone.

use serde::{Deserialize, Serialize};

use crate::{Permille, Span, Timestamp};

/// How a new version takes over from the live one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryPolicy {
    /// Its shares of the calls, rising; after the last it takes all.
    pub steps: Vec<Permille>,
    /// How long each step lasts at least.
    pub every: Span,
    /// The failed part of its calls that is borne.
    pub max_error_rate: Permille,
    /// The handler's time that 95 of 100 calls keep to.
    pub max_p95: Option<Span>,
    /// Calls that a step needs before it is judged to be good.
    pub min_calls: u32,
}

/// A new version on its way, as the registry keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// The version that is tried.
    pub version: u32,
    /// The step that it is on, from 0.
    pub step: u32,
    /// Since when.
    pub since: Timestamp,
}

/// How the calls of the version that is tried ended, since the step began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CanaryCounts {
    /// Calls that ended by the version's own doing.
    pub calls: u64,
    /// Those that failed: errors, timeouts, memory, answers of 500 and more.
    pub failed: u64,
    /// Those that took longer than [`CanaryPolicy::max_p95`].
    pub slow: u64,
}

/// What follows from the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanaryMove {
    /// The step goes on.
    Wait,
    /// This step comes next.
    Step(u32),
    /// It takes every call.
    Promote,
    /// It takes none any more.
    RollBack(Breach),
}

/// What a version did not keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// Too many calls failed.
    Errors,
    /// Too many calls were slow.
    Slow,
}

// === impl CanaryPolicy ===

impl CanaryPolicy {
    /// The share of a step; `None` beyond the last.
    #[must_use]
    pub fn share(&self, step: u32) -> Option<Permille> {
        self.steps.get(usize::try_from(step).ok()?).copied()
    }

    /// What becomes of a version under trial. A breach counts at once when no run of good calls up to `min_calls` could
    /// mend it; a step ends after its time, and not before enough calls.
    #[must_use]
    pub fn decide(&self, canary: &Canary, counts: CanaryCounts, now: Timestamp) -> CanaryMove {
        if let Some(breach) = self.breach(counts) {
            return CanaryMove::RollBack(breach);
        }
        if now.since(canary.since) < self.every.get() || counts.calls < u64::from(self.min_calls) {
            return CanaryMove::Wait;
        }
        match self.share(canary.step + 1) {
            Some(_) => CanaryMove::Step(canary.step + 1),
            None => CanaryMove::Promote,
        }
    }

    fn breach(&self, counts: CanaryCounts) -> Option<Breach> {
        let judged = counts.calls.max(u64::from(self.min_calls));
        if counts.failed * 1000 > judged * u64::from(self.max_error_rate.get()) {
            return Some(Breach::Errors);
        }
        // More than one in twenty is what a 95th percentile above the limit means.
        (self.max_p95.is_some() && counts.slow * 20 > judged).then_some(Breach::Slow)
    }
}

impl Default for CanaryPolicy {
    fn default() -> Self {
        let share = |thousandths| Permille::new(thousandths).expect("a part of a thousand");
        Self {
            steps: [50, 250, 500].map(share).to_vec(),
            every: Span::from_secs(120),
            max_error_rate: share(50),
            max_p95: None,
            min_calls: 50,
        }
    }
}

// === impl Breach ===

impl Breach {
    /// What happened, in the words of an event's note.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "too many calls failed",
            Self::Slow => "too many calls were slow",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: u64 = 60_000;

    fn policy() -> CanaryPolicy {
        CanaryPolicy { max_p95: Some(Span::from_millis(500)), ..CanaryPolicy::default() }
    }

    fn decide(step: u32, minutes: u64, calls: u64, failed: u64, slow: u64) -> CanaryMove {
        let canary = Canary { version: 2, step, since: Timestamp::from_millis(MINUTE) };
        let now = Timestamp::from_millis((minutes + 1) * MINUTE);
        policy().decide(&canary, CanaryCounts { calls, failed, slow }, now)
    }

    #[test]
    fn a_good_version_climbs_and_takes_over() {
        assert_eq!(decide(0, 1, 500, 0, 0), CanaryMove::Wait, "its time is not over");
        assert_eq!(decide(0, 60, 49, 0, 0), CanaryMove::Wait, "nobody knows yet");
        assert_eq!(decide(0, 2, 50, 2, 2), CanaryMove::Step(1));
        assert_eq!(decide(1, 2, 50, 0, 0), CanaryMove::Step(2));
        assert_eq!(decide(2, 2, 50, 0, 0), CanaryMove::Promote);
    }

    #[test]
    fn a_bad_version_goes_as_soon_as_that_is_certain() {
        assert_eq!(decide(0, 0, 2, 2, 0), CanaryMove::Wait, "two of fifty would be borne");
        assert_eq!(decide(0, 0, 3, 3, 0), CanaryMove::RollBack(Breach::Errors));
        assert_eq!(decide(2, 9, 1000, 50, 0), CanaryMove::Promote, "exactly the limit");
        assert_eq!(decide(2, 9, 1000, 51, 0), CanaryMove::RollBack(Breach::Errors));
        assert_eq!(decide(0, 0, 1000, 0, 51), CanaryMove::RollBack(Breach::Slow));
    }

    /// A version's life under a stream of calls; returns the shares that it had and whether it took over.
    fn life(policy: &CanaryPolicy, failing: impl Fn(u64) -> bool) -> (Vec<u16>, bool) {
        let mut canary = Canary { version: 2, step: 0, since: Timestamp::from_millis(0) };
        let (mut counts, mut shares, mut calls) = (CanaryCounts::default(), vec![policy.steps[0].get()], 0);
        for second in 0..100_000 {
            let now = Timestamp::from_millis(second * 1000);
            counts.calls += 1;
            counts.failed += u64::from(failing(calls));
            calls += 1;
            match policy.decide(&canary, counts, now) {
                CanaryMove::Wait => {}
                CanaryMove::Step(step) => {
                    assert_eq!(step, canary.step + 1);
                    assert!(now.since(canary.since) >= policy.every.get());
                    (canary, counts) = (Canary { step, since: now, ..canary }, CanaryCounts::default());
                    shares.push(policy.share(step).expect("a step has a share").get());
                }
                CanaryMove::Promote => return (shares, true),
                CanaryMove::RollBack(_) => return (shares, false),
            }
        }
        panic!("it never ended");
    }

    proptest! {
        #[test]
        fn every_life_ends_and_no_bad_version_takes_over(
            steps in proptest::collection::btree_set(1u16..1000, 1..8),
            every in 1u64..600,
            min_calls in 1u32..200,
            rate in 0u16..500,
            one_in in 1u64..40,
        ) {
            let steps: Vec<Permille> = steps.into_iter().filter_map(Permille::new).collect();
            let max_error_rate = Permille::new(rate).expect("a rate");
            let policy =
                CanaryPolicy { steps, every: Span::from_secs(every), max_error_rate, max_p95: None, min_calls };
            let (shares, took_over) = life(&policy, |_| false);
            prop_assert!(took_over);
            prop_assert_eq!(shares.len(), policy.steps.len());
            let (shares, took_over) = life(&policy, |call| call % one_in == 0);
            prop_assert!(shares.is_sorted());
            // Each step sees at least `min_calls` calls and one in `one_in` of them fails.
            if took_over {
                let least = u64::from(min_calls) / one_in;
                prop_assert!(least * 1000 <= (u64::from(rate) + 1000 / u64::from(min_calls) + 1) * u64::from(min_calls));
            }
            let (_, took_over) = life(&policy, |_| true);
            prop_assert!(!took_over, "all calls failed");
        }
    }
}
