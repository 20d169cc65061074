//! Webhooks that answer with the function's reply: each delivery is called once, and its reply is stored for repetitions.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use faas_ports::{ClaimRequest, Claimed, Holder, ReplyHead};
use faas_runs::reply::{CallBody, CallFailure};
use faas_runs::retry::is_success;
use faas_types::{Code, Fault, RunId, limits};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::accept::NewRun;
use super::service::Triggers;

/// What became of a delivery.
pub enum DeliveryOutcome {
    /// A run was enqueued for it.
    Accepted {
        /// The run.
        run: RunId,
        /// Whether an earlier delivery with the same id had made it.
        repeated: bool,
    },
    /// The function replied.
    Answered(DeliveryReply),
}

/// A function's whole reply to a delivery.
#[derive(Debug)]
pub struct DeliveryReply {
    /// The run.
    pub run: RunId,
    /// Status and headers.
    pub head: ReplyHead,
    /// The body. Empty for a repetition if it was too large to store.
    pub body: Bytes,
    /// Whether the reply was made for an earlier delivery with the same id.
    pub repeated: bool,
}

/// A reply as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredReply {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// The claim that a call holds until its reply is stored or the claim is released.
struct HeldClaim {
    triggers: Arc<Triggers>,
    request: ClaimRequest,
}

// === impl Triggers ===

impl Triggers {
    /// Calls the trigger's function and waits for its reply, unless the same cause was answered before.
    pub(super) async fn answer(self: &Arc<Self>, run: NewRun) -> Result<DeliveryOutcome, CallFailure> {
        self.check_ready()?;
        let record = &run.entry.record;
        let (project, function, now) = (record.project, record.function, self.clock.now());
        let id: RunId = self.ids.mint(now);
        let quota = self.runs.dispatch.quotas.causes();
        let Some(claim) = run.cause.as_ref().map(|cause| cause.claim(&run.entry, now, quota)) else {
            return Err(Fault::internal("a delivery has no id").into());
        };
        let request = ClaimRequest { project, function, claim, run: id, now };
        match self.runs.dispatch.claims.claim(request.clone()).await.map_err(Fault::from)? {
            Claimed::Yours => {}
            Claimed::TooMany => return Err(Fault::internal("causes make room").into()),
            // The stored reply has made room for newer ones: only the run is still known.
            Claimed::Held { run, holder: Holder::Answered(kept), .. } if kept.is_empty() => {
                return Ok(DeliveryOutcome::Accepted { run, repeated: true });
            }
            Claimed::Held { run, holder: Holder::Answered(kept), .. } => return Ok(repeated(run, &kept)?),
            Claimed::Held { run, holder: Holder::Accepted, .. } => {
                return Ok(DeliveryOutcome::Accepted { run, repeated: true });
            }
            Claimed::Held { holder: Holder::Calling, .. } => {
                return Err(Fault::new(Code::Conflict, "this delivery is being answered at the moment")
                    .with_retry_after(1)
                    .into());
            }
        }
        // In a task: a sender that goes away must not cancel the call or keep the claim.
        let held = HeldClaim { triggers: Arc::clone(self), request };
        match self.lifecycle.spawn(held.call(run)).await {
            Ok(outcome) => Ok(DeliveryOutcome::Answered(outcome?)),
            Err(error) => Err(Fault::internal(format!("a delivery broke off: {error}")).into()),
        }
    }

    async fn call_whole(&self, run: NewRun, id: RunId) -> Result<DeliveryReply, CallFailure> {
        let route = self.route(&run.entry).await?;
        let call = self.runs.call_as(id, route, run.request).await?;
        let body = whole(call.body).await?;
        Ok(DeliveryReply { run: id, head: call.head, body, repeated: false })
    }
}

// === impl HeldClaim ===

impl HeldClaim {
    async fn call(self, run: NewRun) -> Result<DeliveryReply, CallFailure> {
        let called = self.triggers.call_whole(run, self.request.run).await;
        match &called {
            Ok(reply) if is_success(reply.head.status) => self.store(reply).await,
            // Repetitions of a failed delivery call again.
            _ => self.release().await,
        }
        called
    }

    async fn store(self, reply: &DeliveryReply) {
        let fits = reply.body.len() <= limits::CLAIM_REPLY_MAX / 2;
        let kept = StoredReply {
            status: reply.head.status,
            headers: reply.head.headers.clone(),
            body: if fits { BASE64_STANDARD.encode(&reply.body) } else { String::new() },
        };
        let ClaimRequest { project, function, claim, run, .. } = &self.request;
        let Ok(kept) = serde_json::to_vec(&kept) else { return };
        let dispatch = &self.triggers.runs.dispatch;
        let bounds = dispatch.quotas.answers();
        if let Err(error) = dispatch.claims.answer(*project, *function, *run, &claim.key, kept.into(), bounds).await {
            tracing::warn!(run_id = %run, %error, "a webhook's answer is not kept");
        }
    }

    async fn release(self) {
        let ClaimRequest { project, function, claim, run, .. } = &self.request;
        if let Err(error) = self.triggers.runs.dispatch.claims.release(*project, *function, *run, &claim.key).await {
            tracing::warn!(run_id = %run, %error, "a delivery cannot be tried again before the server restarts");
        }
    }
}

fn repeated(run: RunId, kept: &[u8]) -> Result<DeliveryOutcome, Fault> {
    let unreadable = || Fault::internal("a kept answer cannot be read");
    let StoredReply { status, headers, body } = serde_json::from_slice(kept).map_err(|_| unreadable())?;
    let body = BASE64_STANDARD.decode(body).map_err(|_| unreadable())?;
    let head = ReplyHead { status, headers, length: None };
    Ok(DeliveryOutcome::Answered(DeliveryReply { run, head, body: body.into(), repeated: true }))
}

/// Collects the body of a reply, which the invocation has bounded.
async fn whole(mut body: CallBody) -> Result<Bytes, Fault> {
    if let CallBody::Whole(bytes) = body {
        return Ok(bytes);
    }
    let mut all = BytesMut::new();
    while let Some(chunk) = body.next().await {
        all.extend_from_slice(&chunk?);
    }
    Ok(all.freeze())
}
