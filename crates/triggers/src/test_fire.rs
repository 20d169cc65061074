//! Fires a trigger once, now, on request.

use std::sync::Arc;

use bytes::Bytes;
use faas_runs::reply::CallFailure;
use faas_signing::{WebhookSecret, sign_as};
use faas_types::id::kind;
use faas_types::{Code, Fault, Reason, RunId, TriggerSettings};

use super::accept::NewRun;
use super::service::Triggers;
use super::table::TriggerEntry;
use super::webhook_reply::DeliveryOutcome;
use super::webhooks::WebhookDelivery;

// === impl Triggers ===

impl Triggers {
    /// Fires a trigger once and returns the run. A schedule fires as at a tick, with `body` in place of its input if there
    /// is one. A webhook gets a delivery of `body`, signed with its current secret and verified like any other.
    ///
    /// # Errors
    /// `FN_014` when it is switched off; `FN_012` for event and queue triggers, which are tested by an event or a message.
    pub async fn test(self: &Arc<Self>, entry: &Arc<TriggerEntry>, body: Bytes) -> Result<RunId, CallFailure> {
        let record = &entry.record;
        if !record.enabled {
            let message = format!("the trigger `{}` is switched off", record.name());
            return Err(Fault::new(Reason::TriggerNotReady, message)
                .with_command_hint("switch it on with `faas triggers enable`")
                .into());
        }
        let now = self.clock.now();
        match &record.settings {
            TriggerSettings::Cron(cron) => {
                let mut run = NewRun::scheduled(entry, cron, now);
                if !body.is_empty() {
                    run.request.body = body;
                }
                let made = self.accept_one(run).await?;
                self.states.note(record.project, record.id, |state| state.note_run(made.run, now));
                Ok(made.run)
            }
            TriggerSettings::Webhook(hook) => {
                let secrets = match &record.credentials {
                    Some(credentials) => self.credentials_place(record).secrets(credentials, hook.scheme, now)?,
                    None => Vec::new(),
                };
                let secret: &WebhookSecret = secrets.first().ok_or_else(|| {
                    Fault::new(Reason::TriggerNotReady, "this webhook has no secret yet")
                        .with_command_hint("make one with `faas triggers rotate`")
                })?;
                let id = format!("test_{}", self.ids.mint::<kind::Run>(now));
                let mut headers = sign_as(hook.scheme, secret, &id, now, &body);
                headers.push(("content-type".to_owned(), "application/json".to_owned()));
                let request = WebhookDelivery { headers, query: String::new(), body };
                match self.deliver_as(entry, request, Some(id)).await? {
                    DeliveryOutcome::Accepted { run, .. } => Ok(run),
                    DeliveryOutcome::Answered(reply) => Ok(reply.run),
                }
            }
            TriggerSettings::Queue(queue) => {
                let hint =
                    format!("use `faas topics send {}`, or POST /api/v1/topics/{}/messages", queue.topic, queue.topic);
                Err(Fault::new(Code::BadRequest, "a queue trigger is tried by sending a message")
                    .with_hint(hint)
                    .into())
            }
            TriggerSettings::Event(_) | TriggerSettings::Http { .. } => {
                Err(Fault::new(Code::BadRequest, "an event trigger is tried by publishing an event")
                    .with_command_hint("use `faas events publish`, or POST /api/v1/events")
                    .into())
            }
        }
    }
}
