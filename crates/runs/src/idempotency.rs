//! One call for each idempotency key, however often its caller asks.

use std::sync::Arc;

use bytes::Bytes;
use faas_ports::{Claim, ClaimRequest, Claimed, Holder};
use faas_types::{ByteSize, Code, Digest, Fault, FunctionId, ProjectId, RunId, limits};

use crate::accept::{claim_key, fingerprint, is_proven, other_body, too_many_keys};
use crate::call::{CallRequest, Route};
use crate::runs::Runs;

/// What becomes of a call with a key.
pub enum KeyClaim {
    /// It is the first: make it, and keep its answer.
    First(KeyHolder),
    /// It was answered before, so.
    Again(Bytes),
}

/// The right to answer for a key. Dropped without [`KeyHolder::keep`] it frees the key: what failed may be tried again.
pub struct KeyHolder {
    runs: Arc<Runs>,
    name: Option<KeyName>,
    is_proven: bool,
    keyless: bool,
}

struct KeyName {
    project: ProjectId,
    function: FunctionId,
    /// Stands for this call only; the run has an id of its own.
    holder: RunId,
    key: String,
}

// === impl Runs ===

impl Runs {
    /// Asks for the right to make a call.
    ///
    /// # Errors
    /// `FN_030` when the key was used with another request, `FN_014` while the first call is under way or when its answer is
    /// not kept, `FN_007` when there are too many keys.
    pub async fn once(
        self: &Arc<Self>,
        route: &Route,
        key: String,
        call: &CallRequest,
        keyless: bool,
    ) -> Result<KeyClaim, Fault> {
        let record = &route.entry.record;
        let now = self.clock.now();
        let (project, function, holder) = (record.project, record.id, self.ids.mint(now));
        let (key, digest): (_, Digest) = (claim_key(key, route, &call.headers), fingerprint(call));
        let quota = Some(self.dispatch.quotas.keys(keyless));
        let claim = Claim { key: key.clone(), fingerprint: digest, expires_at: now.plus(limits::CLAIM_AGE), quota };
        let request = ClaimRequest { project, function, claim, run: holder, now };
        match self.dispatch.claims.claim(request).await? {
            Claimed::Yours => {
                let name = Some(KeyName { project, function, holder, key });
                let is_proven = is_proven(&call.headers);
                Ok(KeyClaim::First(KeyHolder { runs: Arc::clone(self), name, is_proven, keyless }))
            }
            Claimed::TooMany => Err(too_many_keys()),
            Claimed::Held { same: false, .. } => Err(other_body()),
            Claimed::Held { holder: Holder::Answered(reply), .. } if reply.is_empty() => {
                let message = "the request was answered, and will not run again; its answer is not kept";
                let most = ByteSize::from_bytes(answer_max(keyless) as u64);
                Err(Fault::new(Code::Conflict, message).with_hint(format!(
                    "answers of up to {most} are kept, the oldest until newer ones take `idempotency.answer_bytes`; ask the \
                     function what became of the request"
                )))
            }
            Claimed::Held { holder: Holder::Answered(reply), .. } => Ok(KeyClaim::Again(reply)),
            Claimed::Held { holder: Holder::Calling, .. } => {
                Err(Fault::new(Code::Conflict, "a request with this idempotency key is under way")
                    .with_hint("ask again when it has ended")
                    .with_retry_after(1))
            }
            Claimed::Held { run, holder: Holder::Accepted, .. } => {
                Err(Fault::new(Code::Conflict, format!("the idempotency key belongs to {run}, accepted for later"))
                    .with_hint(format!("ask for it: GET /api/v1/runs/{run}")))
            }
        }
    }
}

// === impl KeyHolder ===

impl KeyHolder {
    /// Whether the caller proved to the function who it is, so that nobody else gets the answer again.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Bytes of the largest body that is kept.
    #[must_use]
    pub fn answer_max(&self) -> usize {
        answer_max(self.keyless)
    }

    /// Keeps the answer for whoever repeats the request. An empty one stands for an answer too large to keep.
    pub async fn keep(mut self, reply: Bytes) {
        let Some(KeyName { project, function, holder, key }) = self.name.take() else { return };
        let bounds = self.runs.dispatch.quotas.answers();
        if let Err(error) = self.runs.dispatch.claims.answer(project, function, holder, &key, reply, bounds).await {
            tracing::error!(%error, "the answer for an idempotency key is not kept");
        }
    }
}

fn answer_max(keyless: bool) -> usize {
    if keyless { limits::KEYLESS_REPLY_MAX } else { limits::CLAIM_REPLY_MAX }
}

impl Drop for KeyHolder {
    fn drop(&mut self) {
        let Some(KeyName { project, function, holder, key }) = self.name.take() else { return };
        let runs = Arc::clone(&self.runs);
        self.runs.lifecycle.spawn(async move {
            if let Err(error) = runs.dispatch.claims.release(project, function, holder, &key).await {
                tracing::error!(%error, "an idempotency key is not freed");
            }
        });
    }
}
