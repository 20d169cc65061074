//! Deliveries at webhooks: verified on their raw bytes, then stored or answered, once for each delivery's id.

use std::sync::Arc;

use bytes::Bytes;
use faas_types::{Code, Fault, RunId, TriggerSettings, WebhookReply, WebhookScheme, WebhookTrigger};

use super::accept::{Cause, NewRun, foreign};
use super::answers::HookReply;
use super::door;
use super::table::TriggerEntry;
use crate::engine::Engine;
use crate::reply::CallFailure;
use crate::webhook::{Delivery, Verified, verify};

/// A delivery as it came.
pub struct HookRequest {
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The query without its question mark.
    pub query: String,
    /// The body's raw bytes.
    pub body: Bytes,
}

/// What becomes of a delivery.
pub enum HookAnswer {
    /// There is a run for it.
    Accepted {
        /// The run.
        run: RunId,
        /// Whether an earlier delivery with the same id had made it.
        repeated: bool,
    },
    /// The function's own answer.
    Answered(HookReply),
}

// === impl Engine ===

impl Engine {
    /// The webhook that a path's token leads to.
    ///
    /// # Errors
    /// `FN_013` when there is none, or it is switched off.
    pub fn webhook(&self, token: &str) -> Result<Arc<TriggerEntry>, Fault> {
        let found = self.core.triggers.by_token(&door::hash(token));
        found.filter(|entry| entry.record.enabled).ok_or_else(|| {
            Fault::new(Code::NotFound, "no such webhook")
                .with_hint("compare the URL with what `faas triggers list` shows")
        })
    }

    /// Whether the function behind a webhook tells its senders why it failed.
    pub async fn webhook_tells_all(&self, entry: &TriggerEntry) -> bool {
        self.core.trigger_route(entry).await.is_ok_and(|route| route.tells_all())
    }

    /// Takes in a delivery.
    ///
    /// # Errors
    /// `FN_010` when it does not come from who it says or is not fresh; whatever else stops a call or an accepted run.
    pub async fn deliver(&self, entry: &Arc<TriggerEntry>, request: HookRequest) -> Result<HookAnswer, CallFailure> {
        let TriggerSettings::Webhook(hook) = &entry.record.settings else {
            return Err(Fault::internal("a webhook's token leads to another trigger").into());
        };
        let verified = self.verify(entry, hook.scheme, &request)?;
        let cause = Cause { identity: verified.id, until: self.core.clock.now() };
        let HookRequest { headers, query, body } = request;
        let mut run = NewRun { cause: Some(cause), ..NewRun::of(entry, foreign(headers), body) };
        run.request.query = query;
        let answer = match hook {
            WebhookTrigger { respond: WebhookReply::Accepted, .. } => {
                let made = self.accept_trigger(run).await?;
                HookAnswer::Accepted { run: made.run, repeated: made.repeated }
            }
            WebhookTrigger { respond: WebhookReply::Answer, .. } => self.answer_trigger(run).await?,
        };
        let now = self.core.clock.now();
        let fresh = match &answer {
            HookAnswer::Accepted { run, repeated } => (!repeated).then_some(*run),
            HookAnswer::Answered(reply) => (!reply.repeated).then_some(reply.run),
        };
        if let Some(run) = fresh {
            self.core.trigger_states.note(entry.record.project, entry.record.id, |state| state.note_run(run, now));
        }
        Ok(answer)
    }

    fn verify(&self, entry: &TriggerEntry, scheme: WebhookScheme, request: &HookRequest) -> Result<Verified, Fault> {
        let record = &entry.record;
        let now = self.core.clock.now();
        let secrets = match &record.door {
            Some(door) => self.core.door_place(record).secrets(door, scheme, now)?,
            None => Vec::new(),
        };
        let refuse = |why: String| {
            self.core.trigger_states.note(record.project, record.id, |state| state.note_refusal(&why, now));
            Fault::new(Code::Unauthenticated, why)
        };
        if secrets.is_empty() {
            return Err(refuse("this webhook has no secret yet".to_owned())
                .with_hint("its owner makes one with `faas triggers rotate`"));
        }
        let delivery = Delivery { headers: &request.headers, body: &request.body };
        verify(scheme, &secrets, &delivery, now).map_err(|refusal| refuse(refusal.to_string()))
    }
}
