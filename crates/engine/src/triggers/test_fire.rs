//! Trying a trigger out: it fires once, now, the way it would by itself.

use std::sync::Arc;

use bytes::Bytes;
use faas_runs::reply::CallFailure;
use faas_signing::{WebhookSecret, sign_as};
use faas_types::{Code, Fault, RunId, TriggerSettings};

use super::accept::NewRun;
use super::hooks::{HookAnswer, HookRequest};
use super::table::TriggerEntry;
use crate::engine::Engine;

// === impl Engine ===

impl Engine {
    /// Fires a trigger once: a schedule as if it were time, a webhook by a delivery that is signed with its current
    /// secret and verified like any other. `body` is what is delivered. Returns the run.
    ///
    /// # Errors
    /// `FN_014` when it is switched off; `FN_012` for an event or queue trigger, which is tried by an event or a message.
    pub async fn test_trigger(&self, entry: &Arc<TriggerEntry>, body: Bytes) -> Result<RunId, CallFailure> {
        let record = &entry.record;
        if !record.enabled {
            let message = format!("the trigger `{}` is switched off", record.name());
            return Err(Fault::new(Code::Conflict, message)
                .with_hint("switch it on with `faas triggers enable`")
                .into());
        }
        let now = self.core.clock.now();
        match &record.settings {
            TriggerSettings::Cron(cron) => {
                let mut run = NewRun::scheduled(entry, cron, now);
                if !body.is_empty() {
                    run.request.body = body;
                }
                let made = self.accept_trigger(run).await?;
                self.core.trigger_states.note(record.project, record.id, |state| state.note_run(made.run, now));
                Ok(made.run)
            }
            TriggerSettings::Webhook(hook) => {
                let secrets = match &record.credentials {
                    Some(credentials) => self.core.credentials_place(record).secrets(credentials, hook.scheme, now)?,
                    None => Vec::new(),
                };
                let secret: &WebhookSecret = secrets.first().ok_or_else(|| {
                    Fault::new(Code::Conflict, "this webhook has no secret yet")
                        .with_hint("make one with `faas triggers rotate`")
                })?;
                let id = format!("test_{}", self.core.ids.mint::<faas_types::id::kind::Run>(now));
                let mut headers = sign_as(hook.scheme, secret, &id, now, &body);
                headers.push(("content-type".to_owned(), "application/json".to_owned()));
                let request = HookRequest { headers, query: String::new(), body };
                match self.deliver_as(entry, request, Some(id)).await? {
                    HookAnswer::Accepted { run, .. } => Ok(run),
                    HookAnswer::Answered(reply) => Ok(reply.run),
                }
            }
            TriggerSettings::Queue(queue) => {
                let hint = format!("use `faas topics send {}`, or POST /api/v1/topics/{}", queue.topic, queue.topic);
                Err(Fault::new(Code::BadRequest, "a queue trigger is tried by sending a message")
                    .with_hint(hint)
                    .into())
            }
            TriggerSettings::Event(_) | TriggerSettings::Http { .. } => {
                Err(Fault::new(Code::BadRequest, "an event trigger is tried by publishing an event")
                    .with_hint("use `faas events publish`, or POST /api/v1/events")
                    .into())
            }
        }
    }
}
