//! The life of a run as a pure state machine.
//!
//! ```text
//! queued ──start──▶ running ──succeed──▶ succeeded
//!   │  ▲              │ ├──fail, no attempt left──▶ failed
//!   │  └─requeue──────┘ └──fail, attempts left──▶ retried ──start──▶ running
//!   ├──────────────── cancel (queued, running, retried) ──▶ cancelled
//!   └──────────────── fail before an attempt (queued, retried) ──▶ retried, failed
//! ```

use serde::{Deserialize, Serialize};

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// Accepted, waiting for an instance.
    Queued,
    /// An attempt is under way.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended badly; no attempt follows.
    Failed,
    /// An attempt failed; the next one waits for its backoff.
    Retried,
    /// Ended because somebody asked for it.
    Cancelled,
}

/// A run's state with what decides the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunPhase {
    /// Where it stands.
    pub state: RunState,
    /// Attempts started so far.
    pub attempts: u32,
    /// Attempts allowed in all; at least 1.
    pub max_attempts: u32,
}

/// What happens to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEvent {
    /// An instance took it.
    Start,
    /// The attempt ended well.
    Succeed,
    /// The attempt failed, or could not even begin, in a way that another may mend where it is `retryable`.
    Fail {
        /// Whether the retry policy covers this error.
        retryable: bool,
    },
    /// The attempt was given back without a verdict (throttled, server stopping); it costs no attempt.
    Requeue,
    /// Somebody asked for its end.
    Cancel,
}

/// What the shell must do after a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEffect {
    /// Nothing.
    None,
    /// Open a new attempt with this number, from 1.
    OpenAttempt(u32),
    /// Wait for the backoff before this attempt number.
    ScheduleRetry(u32),
    /// Record the terminal state; no event is taken after it.
    Finish,
    /// Kill the running attempt, then record the terminal state.
    KillAndFinish,
}

/// An event that the state does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a run that is {state:?} does not take {event:?}")]
pub struct IllegalTransition {
    /// The state it was in.
    pub state: RunState,
    /// The event that came.
    pub event: RunEvent,
}

// === impl RunState ===

impl RunState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Retried, Self::Cancelled];

    /// Whether nothing follows.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// The state as text, as on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Retried => "retried",
            Self::Cancelled => "cancelled",
        }
    }
}

impl std::str::FromStr for RunState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            format!("`{text}` is not a run state; states are queued, running, succeeded, failed, retried and cancelled")
        })
    }
}

// === impl RunPhase ===

impl RunPhase {
    /// A freshly accepted run.
    #[must_use]
    pub fn queued(max_attempts: u32) -> Self {
        Self { state: RunState::Queued, attempts: 0, max_attempts: max_attempts.max(1) }
    }

    /// The next phase and what to do about it.
    ///
    /// # Errors
    /// When the state does not take the event; the phase is then unchanged.
    pub fn on(self, event: RunEvent) -> Result<(Self, RunEffect), IllegalTransition> {
        use RunState::{Cancelled, Failed, Queued, Retried, Running, Succeeded};
        let to = |state| Self { state, ..self };
        let next = match (self.state, event) {
            (Queued | Retried, RunEvent::Start) => {
                let attempts = self.attempts + 1;
                (Self { state: Running, attempts, ..self }, RunEffect::OpenAttempt(attempts))
            }
            (Running, RunEvent::Succeed) => (to(Succeeded), RunEffect::Finish),
            (Queued | Running | Retried, RunEvent::Fail { retryable: true }) if self.attempts < self.max_attempts => {
                (to(Retried), RunEffect::ScheduleRetry(self.attempts + 1))
            }
            (Queued | Running | Retried, RunEvent::Fail { .. }) => (to(Failed), RunEffect::Finish),
            (Running, RunEvent::Requeue) => {
                (Self { state: Queued, attempts: self.attempts.saturating_sub(1), ..self }, RunEffect::None)
            }
            (Queued | Retried, RunEvent::Cancel) => (to(Cancelled), RunEffect::Finish),
            (Running, RunEvent::Cancel) => (to(Cancelled), RunEffect::KillAndFinish),
            (state, event) => return Err(IllegalTransition { state, event }),
        };
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event() -> impl Strategy<Value = RunEvent> {
        prop_oneof![
            Just(RunEvent::Start),
            Just(RunEvent::Succeed),
            any::<bool>().prop_map(|retryable| RunEvent::Fail { retryable }),
            Just(RunEvent::Requeue),
            Just(RunEvent::Cancel),
        ]
    }

    proptest! {
        #[test]
        fn a_history_ends_once_and_within_its_attempts(
            max in 0_u32..6,
            events in prop::collection::vec(event(), 0..60),
        ) {
            let mut phase = RunPhase::queued(max);
            let mut finishes = 0;
            for event in events {
                let before = phase;
                match phase.on(event) {
                    Ok((next, effect)) => {
                        prop_assert!(!before.state.is_terminal(), "{before:?} took {event:?}");
                        prop_assert!(next.attempts <= next.max_attempts);
                        prop_assert_eq!(
                            next.state.is_terminal(),
                            matches!(effect, RunEffect::Finish | RunEffect::KillAndFinish)
                        );
                        finishes += u32::from(next.state.is_terminal());
                        phase = next;
                    }
                    Err(refused) => prop_assert_eq!(refused, IllegalTransition { state: before.state, event }),
                }
            }
            prop_assert!(finishes <= 1);
        }

        #[test]
        fn giving_back_costs_no_attempt(rounds in 1_u32..50) {
            let mut phase = RunPhase::queued(1);
            for _ in 0..rounds {
                phase = phase.on(RunEvent::Start).expect("queued takes start").0;
                phase = phase.on(RunEvent::Requeue).expect("running takes requeue").0;
            }
            prop_assert_eq!(phase, RunPhase::queued(1));
        }
    }

    #[test]
    fn a_retryable_failure_waits_and_the_last_one_is_final() {
        let (running, _) = RunPhase::queued(2).on(RunEvent::Start).expect("start");
        let (waiting, effect) = running.on(RunEvent::Fail { retryable: true }).expect("fail");
        assert_eq!((waiting.state, effect), (RunState::Retried, RunEffect::ScheduleRetry(2)));
        let (running, effect) = waiting.on(RunEvent::Start).expect("start again");
        assert_eq!(effect, RunEffect::OpenAttempt(2));
        let (ended, effect) = running.on(RunEvent::Fail { retryable: true }).expect("fail again");
        assert_eq!((ended.state, effect), (RunState::Failed, RunEffect::Finish));
    }

    #[test]
    fn an_attempt_that_cannot_begin_counts_for_none() {
        let (waiting, effect) = RunPhase::queued(1).on(RunEvent::Fail { retryable: true }).expect("fail");
        assert_eq!((waiting.state, waiting.attempts, effect), (RunState::Retried, 0, RunEffect::ScheduleRetry(1)));
        let (ended, effect) = waiting.on(RunEvent::Fail { retryable: false }).expect("given up");
        assert_eq!((ended.state, effect), (RunState::Failed, RunEffect::Finish));
    }
}
