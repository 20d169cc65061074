//! Webhooks that answer with the function's own reply: once for each delivery, whose reply is kept for repetitions.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use faas_ports::{ClaimRequest, Claimed, Holder, ReplyHead};
use faas_runs::reply::{CallBody, CallFailure};
use faas_runs::retry::is_success;
use faas_runs::run_guard::{RunGuard, queued_record};
use faas_scheduler::Urgency;
use faas_types::{Code, Fault, RunId, limits};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::accept::NewRun;
use super::hooks::HookAnswer;
use crate::core::Core;
use crate::engine::Engine;

/// A function's whole reply to a delivery.
#[derive(Debug)]
pub struct HookReply {
    /// The run.
    pub run: RunId,
    /// Status and headers.
    pub head: ReplyHead,
    /// The body; left out for a repetition when it was too large to keep.
    pub body: Bytes,
    /// Whether it was made for an earlier delivery with the same id.
    pub repeated: bool,
}

/// A reply as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// The claim that a call holds, until its reply is kept or it is free again.
struct Held {
    core: Arc<Core>,
    request: ClaimRequest,
}

// === impl Engine ===

impl Engine {
    /// Calls a trigger's function and waits, unless the cause was answered before.
    pub(super) async fn answer_trigger(&self, run: NewRun) -> Result<HookAnswer, CallFailure> {
        let core = Arc::clone(&self.core);
        let record = &run.entry.record;
        let (project, function, now) = (record.project, record.function, core.clock.now());
        let id: RunId = core.ids.mint(now);
        let quota = core.runs.dispatch.quotas.causes();
        let Some(claim) = run.cause.as_ref().map(|cause| cause.claim(&run.entry, now, quota)) else {
            return Err(Fault::internal("a delivery has no id").into());
        };
        let request = ClaimRequest { project, function, claim, run: id, now };
        match core.runs.dispatch.claims.claim(request.clone()).await.map_err(Fault::from)? {
            Claimed::Yours => {}
            Claimed::TooMany => return Err(Fault::internal("causes make room").into()),
            // Its answer has made room for newer ones. That there is a run is all that can be told.
            Claimed::Held { run, holder: Holder::Answered(kept), .. } if kept.is_empty() => {
                return Ok(HookAnswer::Accepted { run, repeated: true });
            }
            Claimed::Held { run, holder: Holder::Answered(kept), .. } => return Ok(repeated(run, &kept)?),
            Claimed::Held { run, holder: Holder::Accepted, .. } => {
                return Ok(HookAnswer::Accepted { run, repeated: true });
            }
            Claimed::Held { holder: Holder::Calling, .. } => {
                return Err(Fault::new(Code::Conflict, "this delivery is being answered at the moment")
                    .with_retry_after(1)
                    .into());
            }
        }
        // In a task of its own: a sender that goes away must not leave the claim behind.
        let engine = self.clone();
        let called = core
            .lifecycle
            .spawn(async move { engine.call_claimed(run, Held { core: Arc::clone(&engine.core), request }).await });
        match called.await {
            Ok(outcome) => Ok(HookAnswer::Answered(outcome?)),
            Err(error) => Err(Fault::internal(format!("a delivery broke off: {error}")).into()),
        }
    }

    async fn call_claimed(&self, run: NewRun, held: Held) -> Result<HookReply, CallFailure> {
        let id = held.request.run;
        let called = self.call_whole(run, id).await;
        match &called {
            Ok(reply) if is_success(reply.head.status) => held.keep(reply).await,
            // A failure is not what a repetition should get: it tries again.
            _ => held.release().await,
        }
        called
    }

    async fn call_whole(&self, run: NewRun, id: RunId) -> Result<HookReply, CallFailure> {
        let route = self.core.trigger_route(&run.entry).await?;
        let (core, request) = (&self.core, run.request);
        let now = core.clock.now();
        let mut record = queued_record(id, &route.entry, route.version.number, request.trigger, now);
        record.trigger_name.clone_from(&request.trigger_name);
        let stats = core.stats.function(route.entry.record.id, &route.entry.record.name);
        let call = core
            .runs
            .carry(RunGuard::new(Arc::clone(&core.runs), stats, record), route, request, None, Urgency::Caller)
            .await?;
        let body = whole(call.body).await?;
        Ok(HookReply { run: id, head: call.head, body, repeated: false })
    }
}

// === impl Held ===

impl Held {
    async fn keep(self, reply: &HookReply) {
        let fits = reply.body.len() <= limits::CLAIM_REPLY_MAX / 2;
        let kept = Kept {
            status: reply.head.status,
            headers: reply.head.headers.clone(),
            body: if fits { BASE64_STANDARD.encode(&reply.body) } else { String::new() },
        };
        let ClaimRequest { project, function, claim, run, .. } = &self.request;
        let Ok(kept) = serde_json::to_vec(&kept) else { return };
        let claims = &self.core.runs.dispatch.claims;
        let bounds = self.core.runs.dispatch.quotas.answers();
        if let Err(error) = claims.answer(*project, *function, *run, &claim.key, kept.into(), bounds).await {
            tracing::warn!(run_id = %run, %error, "a webhook's answer is not kept");
        }
    }

    async fn release(self) {
        let ClaimRequest { project, function, claim, run, .. } = &self.request;
        if let Err(error) = self.core.runs.dispatch.claims.release(*project, *function, *run, &claim.key).await {
            tracing::warn!(run_id = %run, %error, "a delivery cannot be tried again before the server restarts");
        }
    }
}

fn repeated(run: RunId, kept: &[u8]) -> Result<HookAnswer, Fault> {
    let unreadable = || Fault::internal("a kept answer cannot be read");
    let Kept { status, headers, body } = serde_json::from_slice(kept).map_err(|_| unreadable())?;
    let body = BASE64_STANDARD.decode(body).map_err(|_| unreadable())?;
    let head = ReplyHead { status, headers, length: None };
    Ok(HookAnswer::Answered(HookReply { run, head, body: body.into(), repeated: true }))
}

/// The exchange has bounded it already.
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
