//! What follows an attempt. Pure.

use std::time::Duration;

use faas_types::{Code, RetryClass, RetryPolicy, RunEffect, RunEvent, RunPhase, RunState, Timestamp, limits};

use crate::attempt_outcome::AttemptOutcome;

/// The shortest and longest pause of a run that found no place.
const THROTTLED: [u64; 2] = [100, 1_000];

/// A run at the end of an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tried {
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Attempts begun, this one included.
    pub attempts: u32,
    /// When this attempt ended.
    pub now: Timestamp,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The run has succeeded.
    Succeed,
    /// The run has failed and joins the dead letters.
    Bury(GiveUpReason),
    /// Another attempt at this time.
    Retry(Timestamp),
    /// The attempt does not count; the run waits until this time.
    Return(Timestamp),
}

/// Why no attempt follows a failed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GiveUpReason {
    /// Another attempt would fail in the same way, or the policy does not want one.
    NotRetried,
    /// All attempts are used.
    Attempts,
    /// The next attempt would begin past the run's age.
    Age,
    /// The run was lost with its server too often.
    Lost,
}

/// Decides what follows an attempt. `dice` is any random number.
pub(crate) fn next(policy: &RetryPolicy, tried: Tried, outcome: AttemptOutcome, dice: u64) -> Next {
    let code = match outcome {
        AttemptOutcome::Completed => return Next::Succeed,
        AttemptOutcome::Interrupted => return Next::Return(tried.now),
        AttemptOutcome::Failed(code) => code,
    };
    if costs_nothing(code) {
        let [least, most] = THROTTLED;
        return Next::Return(tried.now.plus(Duration::from_millis(least + dice % (most - least))));
    }
    let wanted = RetryClass::of(code).is_some_and(|class| policy.on.contains(&class));
    let at = tried.now.plus(backoff(policy, tried.attempts, dice));
    let young = at.since(tried.created_at) <= policy.max_age.get();
    let phase =
        RunPhase { state: RunState::Running, attempts: tried.attempts, max_attempts: policy.max_attempts.max(1) };
    match phase.on(RunEvent::Fail { retryable: wanted && young }) {
        Ok((_, RunEffect::ScheduleRetry(_))) => Next::Retry(at),
        _ if !wanted => Next::Bury(GiveUpReason::NotRetried),
        _ if tried.attempts >= phase.max_attempts => Next::Bury(GiveUpReason::Attempts),
        _ => Next::Bury(GiveUpReason::Age),
    }
}

/// Why a run that was just handed out must not be tried any more, if so.
pub(crate) fn spent(policy: &RetryPolicy, tried: Tried, lost: u32) -> Option<GiveUpReason> {
    if lost > limits::LOST_MAX {
        Some(GiveUpReason::Lost)
    } else if tried.now.since(tried.created_at) > policy.max_age.get() {
        Some(GiveUpReason::Age)
    } else {
        None
    }
}

/// The run found no place, or the server was in no state to try it.
pub(crate) fn costs_nothing(code: Code) -> bool {
    matches!(code, Code::Overloaded | Code::Unavailable | Code::RateLimited | Code::StorageFull)
}

/// Full jitter: any time up to a bound that doubles with each attempt, so that runs which failed together do not come
/// back together.
fn backoff(policy: &RetryPolicy, attempts: u32, dice: u64) -> Duration {
    let doubled = policy.backoff.get().saturating_mul(1 << attempts.saturating_sub(1).min(30));
    let bound = u64::try_from(doubled.min(policy.backoff_max.get()).as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(if bound == 0 { 0 } else { dice % bound.saturating_add(1) })
}

// === impl GiveUpReason ===

impl GiveUpReason {
    /// For people.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NotRetried => "another attempt would not mend this failure, or the policy wants none",
            Self::Attempts => "all attempts are used",
            Self::Age => "no attempt may begin so long after the run was accepted",
            Self::Lost => "the run was lost with its server too often",
        }
    }
}

#[cfg(test)]
mod tests {
    use faas_types::Span;
    use proptest::prelude::*;

    use super::*;

    fn policy() -> impl Strategy<Value = RetryPolicy> {
        (0_u32..6, 0_u64..5_000, 0_u64..60_000, 0_u64..600_000, any::<u8>()).prop_map(
            |(max_attempts, backoff, cap, age, on)| RetryPolicy {
                max_attempts,
                backoff: Span::from_millis(backoff),
                backoff_max: Span::from_millis(cap),
                max_age: Span::from_millis(age),
                on: RetryClass::ALL.into_iter().enumerate().filter(|(n, _)| on & 1 << n != 0).map(|(_, c)| c).collect(),
            },
        )
    }

    fn outcome() -> impl Strategy<Value = AttemptOutcome> {
        prop_oneof![
            Just(AttemptOutcome::Completed),
            prop::sample::select(Code::ALL.to_vec()).prop_map(AttemptOutcome::Failed),
            Just(AttemptOutcome::Interrupted),
        ]
    }

    proptest! {
        #[test]
        fn retries_keep_to_the_policy(
            policy in policy(), attempts in 1_u32..8, age in 0_u64..900_000, end in outcome(), dice in any::<u64>(),
        ) {
            let (created_at, now) = (Timestamp::from_millis(1), Timestamp::from_millis(1 + age));
            let tried = Tried { created_at, attempts, now };
            match next(&policy, tried, end, dice) {
                Next::Retry(at) => {
                    prop_assert!(attempts < policy.max_attempts);
                    prop_assert!(at >= now && at.since(now) <= policy.backoff_max.get());
                    prop_assert!(at.since(created_at) <= policy.max_age.get());
                }
                Next::Return(at) => {
                    prop_assert!(at.since(now) <= Duration::from_secs(1));
                    let free = match end {
                        AttemptOutcome::Interrupted => true,
                        AttemptOutcome::Failed(code) => costs_nothing(code),
                        AttemptOutcome::Completed => false,
                    };
                    prop_assert!(free, "{end:?} cost no attempt");
                }
                Next::Succeed => prop_assert_eq!(end, AttemptOutcome::Completed),
                Next::Bury(_) => prop_assert!(!matches!(end, AttemptOutcome::Interrupted)),
            }
        }

        #[test]
        fn jitter_uses_the_whole_span(attempts in 1_u32..40, dice in any::<u64>()) {
            let policy = RetryPolicy::default();
            let pause = backoff(&policy, attempts, dice);
            let bound = Duration::from_secs(1 << (attempts - 1).min(30)).min(policy.backoff_max.get());
            prop_assert!(pause <= bound);
        }
    }

    #[test]
    fn the_default_policy_tries_three_times() {
        let policy = RetryPolicy::default();
        let ended = |attempts| {
            let tried = Tried { created_at: Timestamp::from_millis(0), attempts, now: Timestamp::from_millis(10) };
            next(&policy, tried, AttemptOutcome::Failed(Code::RuntimeError), 7)
        };
        assert_eq!(ended(1), Next::Retry(Timestamp::from_millis(17)));
        assert_eq!(ended(2), Next::Retry(Timestamp::from_millis(17)));
        assert_eq!(ended(3), Next::Bury(GiveUpReason::Attempts));
    }
}
