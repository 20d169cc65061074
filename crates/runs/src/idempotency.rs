//! Synchronous calls that are made once: for an idempotency key of a caller, or for a webhook's delivery. The reply is stored
//! and given again to repetitions.

use std::sync::Arc;

use bytes::Bytes;
use faas_ports::{Claim, ClaimQuota, ClaimRequest, Claimed, Holder};
use faas_types::{ByteSize, Executed, Fault, FunctionId, ProjectId, Reason, RunId, limits};

use crate::accept::{claim_key, fingerprint, other_body, too_many_keys};
use crate::request::CallRequest;
use crate::route::Route;
use crate::runs::Runs;
use crate::stored_reply::StoredReply;

/// What a call with an idempotency key comes to.
pub enum KeyClaim {
    /// It is the first with this key: make it, and store its reply.
    First {
        /// Stores the reply, or frees the key.
        holder: ClaimHolder,
        /// Whether the caller proved its identity to the function, so that no other caller gets the reply.
        is_proven: bool,
    },
    /// An earlier call got this reply.
    Again(StoredReply),
}

/// What the claim of a synchronous call comes to.
pub enum CallClaim {
    /// It is free: make the call, and store its reply.
    First(ClaimHolder),
    /// An earlier call was answered.
    Answered {
        /// Its run.
        run: RunId,
        /// Its reply; `None` if that was too large to store, or made room for newer ones.
        reply: Option<StoredReply>,
    },
    /// An earlier call is under way.
    Calling,
    /// A background run holds the claim.
    Accepted {
        /// The run.
        run: RunId,
    },
    /// The server died before a write was answered.
    Lost {
        /// The holder that it had.
        run: RunId,
    },
}

/// The right to answer for a claim. Dropped without [`store`](Self::store), it releases the claim, so that the request can be
/// tried again.
pub struct ClaimHolder {
    runs: Arc<Runs>,
    held: Option<ClaimedCall>,
    /// Bytes of the largest body that is stored.
    body_max: usize,
}

struct ClaimedCall {
    project: ProjectId,
    function: FunctionId,
    run: RunId,
    key: String,
}

// === impl Runs ===

impl Runs {
    /// Claims the idempotency key of a caller who waits for the reply.
    ///
    /// # Errors
    /// `FN_030` when the key was used with another request, `FN_014` while the first call is under way or when its reply is
    /// not stored, `FN_007` when there are too many keys.
    pub async fn once(
        self: &Arc<Self>,
        route: &Route,
        key: String,
        call: &CallRequest<Bytes>,
        keyless: bool,
    ) -> Result<KeyClaim, Fault> {
        let record = &route.entry.record;
        let now = self.clock.now();
        let claim = Claim {
            key: claim_key(key, route, &call.payload),
            fingerprint: fingerprint(call),
            expires_at: now.plus(limits::CLAIM_AGE),
            quota: Some(self.dispatch.quotas.keys(keyless)),
        };
        // Stands for this call only; its run gets another id.
        let holder = self.ids.mint(now);
        let request = ClaimRequest { project: record.project, function: record.id, claim, run: holder, now };
        match self.claim_call(request).await? {
            CallClaim::First(holder) => Ok(KeyClaim::First { holder, is_proven: call.payload.proof().is_some() }),
            CallClaim::Answered { reply: Some(reply), .. } => Ok(KeyClaim::Again(reply)),
            CallClaim::Answered { reply: None, .. } => {
                let message = "the request was answered, and will not run again; its answer is not kept";
                let most = ByteSize::from_bytes(body_max(keyless) as u64);
                Err(Fault::new(Reason::IdempotencyAnswerNotKept, message).with_executed(Executed::Yes).with_hint(format!(
                    "answers of up to {most} are kept, the oldest until newer ones take `idempotency.answer_bytes`; ask the \
                     function what became of the request"
                )))
            }
            CallClaim::Calling => Err(in_progress()),
            CallClaim::Lost { .. } => Err(Fault::internal("a call holds the name of a write")),
            CallClaim::Accepted { run } => Err(Fault::new(
                Reason::IdempotencyAnswerNotKept,
                format!("the idempotency key belongs to the background run {run}"),
            )
            .with_executed(Executed::Yes)
            .with_hint(format!("ask for it: GET /api/v1/runs/{run}"))),
        }
    }

    /// Claims a synchronous call. The claim is fsynced before this returns.
    ///
    /// # Errors
    /// `FN_030` when the claim has another fingerprint, `FN_007` when its quota is used up; when the store cannot be read or
    /// written.
    pub async fn claim_call(self: &Arc<Self>, request: ClaimRequest) -> Result<CallClaim, Fault> {
        match self.dispatch.claims.claim(request.clone()).await? {
            Claimed::Yours => {
                let run = request.run;
                Ok(CallClaim::First(self.holder_of(request, run)))
            }
            Claimed::TooMany => Err(too_many_keys()),
            Claimed::Held { same: false, .. } => Err(other_body()),
            Claimed::Held { run, holder: Holder::Answered(stored), .. } => {
                let reply = if stored.is_empty() { None } else { Some(StoredReply::decode(&stored)?) };
                Ok(CallClaim::Answered { run, reply })
            }
            Claimed::Held { holder: Holder::Calling, .. } => Ok(CallClaim::Calling),
            Claimed::Held { run, holder: Holder::Accepted, .. } => Ok(CallClaim::Accepted { run }),
            Claimed::Held { run, holder: Holder::Lost, .. } => Ok(CallClaim::Lost { run }),
        }
    }

    /// The right of `run` to answer for the claim of a request.
    pub(crate) fn holder_of(self: &Arc<Self>, request: ClaimRequest, run: RunId) -> ClaimHolder {
        let ClaimRequest { project, function, claim, .. } = request;
        let body_max = body_max(claim.quota.is_some_and(ClaimQuota::is_keyless));
        let held = Some(ClaimedCall { project, function, run, key: claim.key });
        ClaimHolder { runs: Arc::clone(self), held, body_max }
    }
}

// === impl ClaimHolder ===

impl ClaimHolder {
    /// Stores the reply for repetitions. If its body is too large, they are told that there was a reply.
    pub async fn store(mut self, reply: &StoredReply) {
        let Some(ClaimedCall { project, function, run, key }) = self.held.take() else { return };
        let fits = reply.body.len() <= self.body_max;
        let stored = if fits { reply.encode().unwrap_or_default() } else { Bytes::new() };
        let dispatch = &self.runs.dispatch;
        if let Err(error) =
            dispatch.claims.answer(project, function, run, &key, stored, dispatch.quotas.answers()).await
        {
            tracing::error!(run_id = %run, %error, "the reply of a claimed call is not stored");
        }
    }

    /// Releases the claim before it returns, so that a request that is repeated at once is called again.
    pub async fn release(mut self) {
        if let Some(held) = self.held.take() {
            held.release(&self.runs).await;
        }
    }
}

impl Drop for ClaimHolder {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        let runs = Arc::clone(&self.runs);
        self.runs.lifecycle.spawn(async move { held.release(&runs).await });
    }
}

// === impl ClaimedCall ===

impl ClaimedCall {
    async fn release(self, runs: &Runs) {
        let Self { project, function, run, key } = self;
        if let Err(error) = runs.dispatch.claims.release(project, function, run, &key).await {
            tracing::error!(run_id = %run, %error, "the claim of a failed call is not released");
        }
    }
}

/// The refusal while the first request with an idempotency key is under way.
pub(crate) fn in_progress() -> Fault {
    Fault::new(Reason::IdempotencyInProgress, "a request with this idempotency key is under way")
        .with_hint("ask again when it has ended")
        .with_retry_after(1)
}

/// Bytes of the largest body that is stored for a caller with or without a key.
fn body_max(keyless: bool) -> usize {
    if keyless { limits::KEYLESS_REPLY_MAX } else { limits::CLAIM_REPLY_MAX }
}
