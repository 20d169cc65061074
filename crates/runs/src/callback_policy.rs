//! How callbacks are tried again.

use std::time::Duration;

use faas_types::limits;

/// How callbacks are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallbackPolicy {
    /// Attempts in all.
    pub attempts_max: u32,
    /// The pause before the second attempt is a random part of this; it doubles with each attempt.
    pub backoff: Duration,
}

// === impl CallbackPolicy ===

impl Default for CallbackPolicy {
    fn default() -> Self {
        Self { attempts_max: limits::CALLBACK_ATTEMPTS_DEFAULT, backoff: limits::CALLBACK_BACKOFF_DEFAULT }
    }
}
