//! What follows an attempt of a callback. Pure.

use std::time::Duration;

use faas_ports::OutboundError;
use faas_types::{CallbackState, Timestamp, limits};

use crate::callback_policy::CallbackPolicy;

/// The answer of a receiver that wants no more of this.
const GONE: u16 = 410;

/// An attempt that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempted<'a> {
    pub(super) outcome: &'a Result<u16, OutboundError>,
    /// This one included.
    pub(super) attempts: u32,
    pub(super) ended_at: Timestamp,
    pub(super) now: Timestamp,
}

/// How a callback stands after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) state: CallbackState,
    pub(super) message: Option<String>,
    /// When the next attempt may begin, where one follows.
    pub(super) again: Option<Timestamp>,
}

/// Only a status of 200 to 299 is an arrival. `roll` is random.
pub(super) fn next(policy: CallbackPolicy, attempted: Attempted<'_>, roll: u64) -> Standing {
    let (message, hopeless) = match attempted.outcome {
        Ok(200..=299) => return Standing { state: CallbackState::Delivered, message: None, again: None },
        Ok(status @ 300..=399) => (format!("answered with {status}; redirections are not followed"), false),
        Ok(status) => (format!("answered with {status}"), *status == GONE),
        Err(OutboundError::Refused(message)) => (message.clone(), true),
        Err(OutboundError::Failed(message)) => (message.clone(), false),
    };
    let again = attempted.now.plus(pause(policy, attempted.attempts, roll));
    let is_late = again > attempted.ended_at.plus(limits::CALLBACK_AGE);
    if hopeless || is_late || attempted.attempts >= policy.attempts_max {
        return Standing { state: CallbackState::Abandoned, message: Some(message), again: None };
    }
    Standing { state: CallbackState::Pending, message: Some(message), again: Some(again) }
}

/// A random part of a bound that doubles with each attempt.
fn pause(policy: CallbackPolicy, attempts: u32, roll: u64) -> Duration {
    let factor = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    let bound = policy.backoff.saturating_mul(factor).min(limits::CALLBACK_BACKOFF_CAP);
    let millis = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(roll % millis.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(outcome: &Result<u16, OutboundError>, attempts: u32, hours: u64) -> Standing {
        let (ended_at, now) = (Timestamp::from_millis(0), Timestamp::from_millis(hours * 3_600_000));
        next(CallbackPolicy::default(), Attempted { outcome, attempts, ended_at, now }, u64::MAX)
    }

    #[test]
    fn what_arrived_is_over_and_what_did_not_goes_on() {
        assert_eq!(after(&Ok(204), 50, 90).state, CallbackState::Delivered);
        for outcome in [Ok(302), Ok(404), Ok(500), Err(OutboundError::Failed("no answer".into()))] {
            let standing = after(&outcome, 1, 0);
            assert_eq!(standing.state, CallbackState::Pending, "{outcome:?}");
            assert!(standing.again.is_some() && standing.message.is_some());
        }
        for outcome in [Ok(410), Err(OutboundError::Refused("inside".into()))] {
            assert_eq!(after(&outcome, 1, 0).state, CallbackState::Abandoned, "{outcome:?}");
        }
        assert_eq!(after(&Ok(500), 12, 0).state, CallbackState::Abandoned, "too many attempts");
        assert_eq!(after(&Ok(500), 3, 24).state, CallbackState::Abandoned, "too late");
    }

    proptest! {
        #[test]
        fn pauses_are_bounded_and_end(attempts in 1_u32..200, roll: u64, backoff in 0_u64..10_000_000) {
            let policy = CallbackPolicy { attempts_max: 50, backoff: Duration::from_millis(backoff) };
            prop_assert!(pause(policy, attempts, roll) <= limits::CALLBACK_BACKOFF_CAP);
            let zero = Timestamp::from_millis(0);
            let attempted = Attempted { outcome: &Ok(500), attempts, ended_at: zero, now: zero };
            let goes_on = next(policy, attempted, roll).again.is_some();
            prop_assert_eq!(goes_on, attempts < 50);
        }
    }
}
