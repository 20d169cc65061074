//! Deliveries to webhooks: each is verified on its raw bytes, then enqueued or answered, once for each delivery id.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_runs::payload::{HttpRequest, Payload, foreign};
use faas_runs::reply::CallFailure;
use faas_signing::{Delivery, Verified, verify};
use faas_types::{
    Code, Fault, Reason, Redelivery, RunState, TriggerSettings, WebhookReply, WebhookScheme, WebhookTrigger,
};

use super::accept::{Cause, NewRun, TriggeredRun};
use super::service::Triggers;
use super::table::TriggerEntry;
use super::webhook_credentials::hash;
use super::webhook_reply::DeliveryOutcome;

/// How long deliveries are remembered if their scheme signs no time.
const UNTIMED_REMEMBERED: Duration = Duration::from_secs(30 * 86_400);
/// The most runs that repetitions of one delivery make after failures.
const RETRIES_MAX: u32 = 100;

/// A delivery as it arrived.
pub struct WebhookDelivery {
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The query without its question mark.
    pub query: String,
    /// The body's raw bytes.
    pub body: Bytes,
}

// === impl Triggers ===

impl Triggers {
    /// The webhook whose URL has this token.
    ///
    /// # Errors
    /// `FN_013` when no trigger has this token, or the trigger is switched off.
    pub fn find_webhook(&self, token: &str) -> Result<Arc<TriggerEntry>, Fault> {
        let found = self.table.by_token(&hash(token));
        found.filter(|entry| entry.record.enabled).ok_or_else(|| {
            Fault::new(Reason::WebhookNotFound, "no such webhook")
                .with_command_hint("compare the URL with what `faas triggers list` shows")
        })
    }

    /// Whether the webhook's function lets its callers see why it failed.
    pub async fn shows_failures(&self, entry: &TriggerEntry) -> bool {
        self.route(entry).await.is_ok_and(|route| route.tells_all())
    }

    /// Takes a delivery.
    ///
    /// # Errors
    /// `FN_010` when its signature does not fit or is too old; also whatever refuses a call or a background run.
    pub async fn deliver(
        self: &Arc<Self>,
        entry: &Arc<TriggerEntry>,
        delivery: WebhookDelivery,
    ) -> Result<DeliveryOutcome, CallFailure> {
        self.deliver_as(entry, delivery, None).await
    }

    /// The same, with `id` in place of the delivery's own.
    pub(super) async fn deliver_as(
        self: &Arc<Self>,
        entry: &Arc<TriggerEntry>,
        delivery: WebhookDelivery,
        id: Option<String>,
    ) -> Result<DeliveryOutcome, CallFailure> {
        let TriggerSettings::Webhook(hook) = &entry.record.settings else {
            return Err(Fault::internal("a webhook's token leads to another trigger").into());
        };
        let verified = self.verify(entry, hook.scheme, &delivery)?;
        let now = self.clock.now();
        // Without a signed time, only the remembered claim keeps a captured delivery from running again.
        let until = if hook.scheme == WebhookScheme::GitHub { now.plus(UNTIMED_REMEMBERED) } else { now };
        let identity = id.unwrap_or(verified.id);
        let WebhookDelivery { headers, query, body } = delivery;
        let headers = foreign(headers);
        let run = |identity: &str| {
            let cause = Cause { identity: identity.to_owned(), until };
            let (trigger, path) = entry.record.target();
            let (method, query, headers) = ("POST".to_owned(), query.clone(), headers.clone());
            let request = Box::new(HttpRequest { method, path, query, headers });
            NewRun { cause: Some(cause), ..NewRun::of(entry, Payload::Webhook { trigger, request }, body.clone()) }
        };
        let answer = match hook {
            WebhookTrigger { respond: WebhookReply::Accepted, redelivery, .. } => {
                let mut made = self.accept_one(run(&identity)).await?;
                if *redelivery == Redelivery::Retry && made.repeated {
                    made = self.after_failures(entry, made, &identity, run).await?;
                }
                DeliveryOutcome::Accepted { run: made.run, repeated: made.repeated }
            }
            WebhookTrigger { respond: WebhookReply::Answer, .. } => self.answer(run(&identity)).await?,
        };
        let now = self.clock.now();
        let fresh = match &answer {
            DeliveryOutcome::Accepted { run, repeated } => (!repeated).then_some(*run),
            DeliveryOutcome::Answered(reply) => (!reply.repeated).then_some(reply.run),
        };
        if let Some(run) = fresh {
            self.states.note(entry.record.project, entry.record.id, |state| state.note_run(run, now));
        }
        Ok(answer)
    }

    /// Makes another run if the delivery's last run has failed: one for each failed run, however often it is delivered.
    async fn after_failures(
        self: &Arc<Self>,
        entry: &TriggerEntry,
        mut made: TriggeredRun,
        identity: &str,
        run: impl Fn(&str) -> NewRun,
    ) -> Result<TriggeredRun, Fault> {
        for _ in 0..RETRIES_MAX {
            let failed = match self.runs.history_reader.run(entry.record.project, made.run).await {
                Ok(record) => record.state() == RunState::Failed,
                // The record's retention has ended: whether the run failed is not known.
                Err(fault) if fault.code == Code::NotFound => false,
                Err(fault) => return Err(fault),
            };
            if !made.repeated || !failed {
                break;
            }
            made = self.accept_one(run(&format!("{identity}\nafter {}", made.run))).await?;
        }
        Ok(made)
    }

    fn verify(
        &self,
        entry: &TriggerEntry,
        scheme: WebhookScheme,
        delivery: &WebhookDelivery,
    ) -> Result<Verified, Fault> {
        let record = &entry.record;
        let now = self.clock.now();
        let secrets = match &record.credentials {
            Some(credentials) => self.credentials_place(record).secrets(credentials, scheme, now)?,
            None => Vec::new(),
        };
        let refuse = |why: String| {
            self.states.note(record.project, record.id, |state| state.note_refusal(&why, now));
            Fault::new(Code::Unauthenticated, why)
        };
        if secrets.is_empty() {
            return Err(refuse("this webhook has no secret yet".to_owned())
                .with_command_hint("its owner makes one with `faas triggers rotate`"));
        }
        let signed = Delivery { headers: &delivery.headers, body: &delivery.body };
        verify(scheme, &secrets, &signed, now).map_err(|refusal| refuse(refusal.to_string()))
    }
}
