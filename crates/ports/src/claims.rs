//! Names that callers give to their requests, so that a repeated request makes no second run.

use async_trait::async_trait;
use bytes::Bytes;
use faas_types::{Digest, FunctionId, ProjectId, RunId, Timestamp};

use crate::{ByteBounds, PortResult};

/// A caller's name for a run, within one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The name, from the header `Idempotency-Key`.
    pub key: String,
    /// Tells whether a repeated request is the same one.
    pub fingerprint: Digest,
    /// When the name is free again.
    pub expires_at: Timestamp,
    /// How many names there may be; a caller's name without a bound where absent.
    pub quota: Option<ClaimQuota>,
}

/// How many names may be held when another is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimQuota {
    /// For a caller's name, which is refused when there are too many.
    Caller {
        /// Names of all callers.
        all: NameBounds,
        /// Those of callers without a key, where this is one. Only its answers make room for its own.
        keyless: Option<NameBounds>,
    },
    /// For the cause of a trigger's run. Causes are counted apart from callers' names, and the oldest are forgotten beyond
    /// the bounds.
    Cause(NameBounds),
}

/// How many names a function, and all functions of a project together, may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameBounds {
    /// One function.
    pub function: u64,
    /// One project.
    pub project: u64,
}

/// Bytes of answers that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerBounds {
    /// All answers.
    pub all: ByteBounds,
    /// Those to callers without a key.
    pub keyless: ByteBounds,
}

/// Stands for the function in claims of names that count within a whole project: those of writes to the control plane. No function
/// has this id.
pub const OF_PROJECT: FunctionId = FunctionId::from_u128(0);

/// Who asks for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRequest {
    /// The owner.
    pub project: ProjectId,
    /// The function within which the name counts, or [`OF_PROJECT`].
    pub function: FunctionId,
    /// The name.
    pub claim: Claim,
    /// The run that would hold it.
    pub run: RunId,
    /// Names that expired before are free.
    pub now: Timestamp,
}

/// The answer to a request for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The asker holds it from now on.
    Yours,
    /// The quota is used up.
    TooMany,
    /// Another run holds it.
    Held {
        /// That run.
        run: RunId,
        /// Whether both carry the same fingerprint.
        same: bool,
        /// How far that run is.
        holder: Holder,
    },
}

/// How far the holder of a name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A call whose caller waits.
    Calling,
    /// A call that was answered so. Empty when the answer is not kept, or no longer.
    Answered(Bytes),
    /// A background run was accepted.
    Accepted,
    /// The server died before this write was answered; whether it was done is not known. Only with [`OF_PROJECT`].
    Lost,
}

/// Claims of calls whose callers wait; those of accepted runs are made by `RunQueue::enqueue` and seen here too.
#[async_trait]
pub trait Claims: Send + Sync {
    /// Asks for a name, fsynced. A claim of a call that died with its server is free at the next start; one of a write is
    /// [`Holder::Lost`] then.
    async fn claim(&self, request: ClaimRequest) -> PortResult<Claimed>;

    /// Holds a lost name again, for the same holder. `false` where another was first.
    async fn resume(&self, project: ProjectId, run: RunId, key: &str) -> PortResult<bool>;

    /// Keeps the answer of the call that holds a name. Where there are more bytes than `bounds` allow, the oldest answers
    /// go: those to callers without a key first, and none but these for such a caller. The names stay.
    async fn answer(
        &self,
        project: ProjectId,
        function: FunctionId,
        run: RunId,
        key: &str,
        reply: Bytes,
        bounds: AnswerBounds,
    ) -> PortResult<()>;

    /// Frees the name that a call holds.
    async fn release(&self, project: ProjectId, function: FunctionId, run: RunId, key: &str) -> PortResult<()>;

    /// Forgets names that expired before `now`, at most `limit`. Returns how many.
    async fn expire_claims(&self, now: Timestamp, limit: u32) -> PortResult<u64>;
}

// === impl ClaimQuota ===

impl ClaimQuota {
    /// Whether the name is a caller's who showed no key.
    #[must_use]
    pub fn is_keyless(self) -> bool {
        matches!(self, Self::Caller { keyless: Some(_), .. })
    }

    /// Whether the name is the cause of a trigger's run.
    #[must_use]
    pub fn is_cause(self) -> bool {
        matches!(self, Self::Cause(_))
    }
}

// === impl AnswerBounds ===

impl AnswerBounds {
    /// No bound.
    pub const NONE: Self = Self { all: ByteBounds::NONE, keyless: ByteBounds::NONE };
}
