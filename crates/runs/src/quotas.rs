//! How much callers can make the server keep.

use faas_ports::{AnswerBounds, ByteBounds, ClaimQuota, NameBounds};
use faas_types::limits;

/// What is kept for callers, at most. Each kind has a bound for a function and for all functions of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Runs that wait in the background, with their inputs.
    pub waiting: ByteBounds,
    /// Inputs of background runs that have ended, for replays.
    pub inputs: ByteBounds,
    /// Idempotency keys of one function, and as many deliveries and events that its triggers remember.
    pub function_keys: u64,
    /// The same of one project.
    pub project_keys: u64,
    /// Answers for repeated requests with their idempotency keys.
    pub answers: ByteBounds,
    /// Bytes of callbacks of one project that are not delivered. Callers without a key have none, unless a manifest allows it.
    pub callbacks: u64,
    /// What part of each of the others callers without a key may take, and of the waiting runs that a manifest allows.
    pub keyless_percent: u8,
}

// === impl Quotas ===

impl Default for Quotas {
    fn default() -> Self {
        Self {
            waiting: bytes(limits::WAITING_BYTES, limits::PROJECT_WAITING_BYTES),
            inputs: bytes(limits::INPUT_BYTES, limits::PROJECT_INPUT_BYTES),
            function_keys: limits::CLAIMS_MAX,
            project_keys: limits::PROJECT_CLAIMS_MAX,
            answers: bytes(limits::ANSWER_BYTES, limits::PROJECT_ANSWER_BYTES),
            callbacks: limits::CALLBACK_BYTES_WAITING,
            keyless_percent: limits::KEYLESS_PERCENT,
        }
    }
}

const fn bytes(function: u64, project: u64) -> ByteBounds {
    ByteBounds { function, project }
}

impl Quotas {
    /// The part of something that callers without a key may take: at least one where they may take any.
    pub(crate) fn share(&self, all: u64) -> u64 {
        let share = (u128::from(all) * u128::from(self.keyless_percent)).div_ceil(100);
        u64::try_from(share).unwrap_or(u64::MAX)
    }

    /// How many idempotency keys a caller may find held.
    pub(crate) fn keys(&self, keyless: bool) -> ClaimQuota {
        let all = self.names();
        let part = NameBounds { function: self.share(all.function), project: self.share(all.project) };
        ClaimQuota::Caller { all, keyless: keyless.then_some(part) }
    }

    /// How many deliveries and events are remembered.
    pub fn causes(&self) -> ClaimQuota {
        ClaimQuota::Cause(self.names())
    }

    fn names(&self) -> NameBounds {
        NameBounds { function: self.function_keys, project: self.project_keys }
    }

    /// How many bytes of answers are kept.
    pub fn answers(&self) -> AnswerBounds {
        let ByteBounds { function, project } = self.answers;
        AnswerBounds { all: self.answers, keyless: bytes(self.share(function), self.share(project)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_callers_without_a_key_is_a_part_of_the_whole() {
        let quotas = |keyless_percent| Quotas { keyless_percent, ..Quotas::default() };
        assert_eq!([0, 1, 2, 100].map(|all| quotas(50).share(all)), [0, 1, 1, 50]);
        assert_eq!([quotas(0).share(100), quotas(100).share(u64::MAX)], [0, u64::MAX]);
        let quotas = Quotas { function_keys: 10, project_keys: 40, ..quotas(50) };
        let (all, part) = (NameBounds { function: 10, project: 40 }, NameBounds { function: 5, project: 20 });
        assert_eq!(quotas.keys(true), ClaimQuota::Caller { all, keyless: Some(part) });
        assert_eq!(quotas.keys(false), ClaimQuota::Caller { all, keyless: None });
        assert_eq!(quotas.causes(), ClaimQuota::Cause(all));
    }
}
