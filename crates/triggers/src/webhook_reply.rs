//! Webhooks that answer with the function's reply: each delivery is called once, and its reply is stored for repetitions.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use faas_ports::{ClaimRequest, ReplyHead};
use faas_runs::AttemptOutcome;
use faas_runs::idempotency::{CallClaim, ClaimHolder};
use faas_runs::payload::http_reply;
use faas_runs::reply::{CallBody, CallFailure};
use faas_runs::stored_reply::StoredReply;
use faas_types::{Fault, Reason, RunId};
use futures_util::StreamExt;

use super::accept::NewRun;
use super::service::Triggers;

/// What became of a delivery.
#[derive(Debug)]
pub enum DeliveryOutcome {
    /// There is a run for it, whose reply is not told.
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
    /// The body.
    pub body: Bytes,
    /// Whether the reply was made for an earlier delivery with the same id.
    pub repeated: bool,
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
        let holder = match self.runs.claim_call(request).await? {
            CallClaim::First(holder) => holder,
            CallClaim::Answered { run, reply: Some(StoredReply { status, headers, body }) } => {
                let head = ReplyHead { status, headers, length: None };
                return Ok(DeliveryOutcome::Answered(DeliveryReply { run, head, body, repeated: true }));
            }
            CallClaim::Answered { run, reply: None } | CallClaim::Accepted { run } => {
                return Ok(DeliveryOutcome::Accepted { run, repeated: true });
            }
            CallClaim::Lost { .. } => return Err(Fault::internal("a delivery holds the name of a write").into()),
            CallClaim::Calling => {
                return Err(Fault::new(Reason::OperationInProgress, "this delivery is being answered at the moment")
                    .with_retry_after(1)
                    .into());
            }
        };
        // In a task: a sender that goes away must not cancel the call.
        let triggers = Arc::clone(self);
        match self.lifecycle.spawn(async move { triggers.call_claimed(run, id, holder).await }).await {
            Ok(outcome) => Ok(DeliveryOutcome::Answered(outcome?)),
            Err(error) => Err(Fault::internal(format!("a delivery broke off: {error}")).into()),
        }
    }

    async fn call_claimed(&self, run: NewRun, id: RunId, holder: ClaimHolder) -> Result<DeliveryReply, CallFailure> {
        let called = self.call_whole(run, id).await;
        match &called {
            Ok(DeliveryReply { head, body, .. }) if http_reply::outcome(head.status) == AttemptOutcome::Completed => {
                let (status, headers, body) = (head.status, head.headers.clone(), body.clone());
                holder.store(&StoredReply { status, headers, body }).await;
            }
            // Repetitions of a failed delivery call again.
            _ => holder.release().await,
        }
        called
    }

    async fn call_whole(&self, run: NewRun, id: RunId) -> Result<DeliveryReply, CallFailure> {
        let route = self.route(&run.entry).await?;
        let call = self.runs.call_as(id, route, run.request.into()).await?;
        let body = whole(call.body).await?;
        Ok(DeliveryReply { run: id, head: call.head, body, repeated: false })
    }
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
