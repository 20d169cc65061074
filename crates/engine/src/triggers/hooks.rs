//! Deliveries at webhooks: verified on their raw bytes, then stored or answered, once for each delivery's id.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_runs::call::foreign;
use faas_runs::reply::CallFailure;
use faas_signing::{Delivery, Verified, verify};
use faas_types::{
    Code, Fault, Redelivery, RunId, RunState, TriggerSettings, WebhookReply, WebhookScheme, WebhookTrigger,
};

use super::accept::{Cause, Made, NewRun};
use super::table::TriggerEntry;
use super::webhook_credentials;
use super::webhook_reply::HookReply;
use crate::engine::Engine;

/// How long deliveries are remembered whose scheme signs no time.
const UNTIMED_REMEMBERED: Duration = Duration::from_secs(30 * 86_400);
/// Runs that one delivery makes again and again, as long as each has failed.
const AGAIN_MAX: u32 = 100;

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
    /// `FN_013` when no trigger has this token, or the trigger is switched off.
    pub fn webhook(&self, token: &str) -> Result<Arc<TriggerEntry>, Fault> {
        let found = self.core.triggers.by_token(&webhook_credentials::hash(token));
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
        self.deliver_as(entry, request, None).await
    }

    /// The same, known by an id of ours where there is one.
    pub(super) async fn deliver_as(
        &self,
        entry: &Arc<TriggerEntry>,
        request: HookRequest,
        id: Option<String>,
    ) -> Result<HookAnswer, CallFailure> {
        let TriggerSettings::Webhook(hook) = &entry.record.settings else {
            return Err(Fault::internal("a webhook's token leads to another trigger").into());
        };
        let verified = self.verify(entry, hook.scheme, &request)?;
        let now = self.core.clock.now();
        // Without a signed time, remembering is all that keeps a captured delivery from running again.
        let until = if hook.scheme == WebhookScheme::GitHub { now.plus(UNTIMED_REMEMBERED) } else { now };
        let identity = id.unwrap_or(verified.id);
        let HookRequest { headers, query, body } = request;
        let headers = foreign(headers);
        let run = |identity: &str| {
            let cause = Cause { identity: identity.to_owned(), until };
            let mut run = NewRun { cause: Some(cause), ..NewRun::of(entry, headers.clone(), body.clone()) };
            run.request.query.clone_from(&query);
            run
        };
        let answer = match hook {
            WebhookTrigger { respond: WebhookReply::Accepted, redelivery, .. } => {
                let mut made = self.accept_trigger(run(&identity)).await?;
                if *redelivery == Redelivery::Retry && made.repeated {
                    made = self.after_failures(entry, made, &identity, run).await?;
                }
                HookAnswer::Accepted { run: made.run, repeated: made.repeated }
            }
            WebhookTrigger { respond: WebhookReply::Answer, .. } => self.answer_trigger(run(&identity)).await?,
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

    /// Another run for a delivery whose run has failed: one for each failed run, however often it is delivered.
    async fn after_failures(
        &self,
        entry: &TriggerEntry,
        mut made: Made,
        identity: &str,
        run: impl Fn(&str) -> NewRun,
    ) -> Result<Made, Fault> {
        for _ in 0..AGAIN_MAX {
            let failed = match self.history().run(entry.record.project, made.run).await {
                Ok(record) => record.state == RunState::Failed,
                // Its record is gone by now: whether it failed is not known.
                Err(fault) if fault.code == Code::NotFound => false,
                Err(fault) => return Err(fault),
            };
            if !made.repeated || !failed {
                break;
            }
            made = self.accept_trigger(run(&format!("{identity}\nafter {}", made.run))).await?;
        }
        Ok(made)
    }

    fn verify(&self, entry: &TriggerEntry, scheme: WebhookScheme, request: &HookRequest) -> Result<Verified, Fault> {
        let record = &entry.record;
        let now = self.core.clock.now();
        let secrets = match &record.credentials {
            Some(credentials) => self.core.credentials_place(record).secrets(credentials, scheme, now)?,
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
