//! Writes to the control plane that callers name with an idempotency key: each is carried out once, and its answer is given again.

use std::sync::Arc;

use faas_ports::{Claim, ClaimRequest, OF_PROJECT};
use faas_types::id::IdKind;
use faas_types::{ByteSize, Digest, Executed, Fault, Id, ProjectId, Reason, RunId, limits};

use crate::idempotency::{CallClaim, ClaimHolder, in_progress};
use crate::runs::Runs;
use crate::stored_reply::StoredReply;

/// A write with the name that its caller gave it.
#[derive(Clone, Debug)]
pub struct NamedWrite {
    /// The caller's project.
    pub project: ProjectId,
    /// The name, which no other caller shares.
    pub key: String,
    /// Tells whether a repeated request is the same one.
    pub fingerprint: Digest,
    /// Whether it may be carried out again when the server died in the middle of it: it then has the same effect, or none.
    pub is_repeatable: bool,
}

/// What a named write comes to.
pub enum WriteClaim {
    /// Carry it out, and store its answer.
    First(ClaimHolder, WriteId),
    /// It was answered so before.
    Again(StoredReply),
}

/// Stands for one named write, also after the server died in its middle. What the write makes takes its ids from here, so that
/// a second attempt finds what the first one made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteId(RunId);

// === impl WriteId ===

impl WriteId {
    /// The id of the `number`th thing of a kind that the write makes.
    #[must_use]
    pub fn id<K: IdKind>(self, number: u64) -> Id<K> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0.as_u128().to_be_bytes()).update(K::PREFIX.as_bytes()).update(&number.to_be_bytes());
        let mut entropy = [0; 16];
        hasher.finalize_xof().fill(&mut entropy);
        Id::mint(self.0.created_at(), u128::from_be_bytes(entropy))
    }
}

// === impl Runs ===

impl Runs {
    /// Claims the name of a write. The claim is fsynced before this returns.
    ///
    /// # Errors
    /// `FN_030` when the name was used with another request, `FN_014` while the first is under way, when its answer is not kept or
    /// when it is not known whether it was done, `FN_007` when there are too many names.
    pub async fn claim_write(self: &Arc<Self>, write: NamedWrite) -> Result<WriteClaim, Fault> {
        let NamedWrite { project, key, fingerprint, is_repeatable } = write;
        let now = self.clock.now();
        let quota = Some(self.dispatch.quotas.keys(false));
        let claim = Claim { key, fingerprint, expires_at: now.plus(limits::CLAIM_AGE), quota };
        let request = ClaimRequest { project, function: OF_PROJECT, claim, run: self.ids.mint(now), now };
        match self.claim_call(request.clone()).await? {
            CallClaim::First(holder) => Ok(WriteClaim::First(holder, WriteId(request.run))),
            CallClaim::Answered { reply: Some(reply), .. } => Ok(WriteClaim::Again(reply)),
            CallClaim::Answered { reply: None, .. } => Err(not_kept()),
            CallClaim::Lost { run } if is_repeatable => {
                if !self.dispatch.claims.resume(project, run, &request.claim.key).await? {
                    return Err(in_progress());
                }
                Ok(WriteClaim::First(self.holder_of(request, run), WriteId(run)))
            }
            CallClaim::Lost { .. } => Err(outcome_unknown()),
            CallClaim::Calling | CallClaim::Accepted { .. } => Err(in_progress()),
        }
    }

    /// Takes a write to its end, also when its caller goes away: a stop waits for it.
    ///
    /// # Errors
    /// When it panics.
    pub async fn finish<T: Send + 'static>(&self, write: impl Future<Output = T> + Send + 'static) -> Result<T, Fault> {
        let done = self.lifecycle.spawn(write).await;
        done.map_err(|error| Fault::internal(format!("a write broke off: {error}")))
    }
}

fn not_kept() -> Fault {
    let message = "the request was carried out, and will not be again; its answer is not kept";
    let most = ByteSize::from_bytes(limits::CLAIM_REPLY_MAX as u64);
    Fault::new(Reason::IdempotencyAnswerNotKept, message).with_executed(Executed::Yes).with_hint(format!(
        "answers of up to {most} are kept, the oldest until newer ones take `idempotency.answer_bytes`; read what the request \
         changed"
    ))
}

fn outcome_unknown() -> Fault {
    let message =
        "the server stopped before it answered the request with this idempotency key; it may have been carried out";
    Fault::new(Reason::IdempotencyOutcomeUnknown, message)
        .with_executed(Executed::Unknown)
        .with_hint("read what the request changes; send it with another key if it was not carried out")
}

#[cfg(test)]
mod tests {
    use faas_types::{KeyId, TriggerId};

    use super::*;

    #[test]
    fn ids_of_a_write_are_the_same_each_time() {
        let (write, other) = (WriteId(RunId::from_u128(7 << 80)), WriteId(RunId::from_u128(8 << 80)));
        assert_eq!(write.id::<faas_types::id::kind::Key>(0), write.id::<faas_types::id::kind::Key>(0));
        let (key, trigger): (KeyId, TriggerId) = (write.id(0), write.id(0));
        assert_ne!(key.as_u128(), trigger.as_u128());
        assert_ne!(key, write.id(1));
        assert_ne!(key, other.id(0));
    }
}
