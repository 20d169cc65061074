//! Triggers: what is remembered of them, and how they make runs.
//!
//! A trigger only ever makes runs through [`accept`]; nothing here executes anything. Records are configuration and
//! change with deployments and by hand. TriggerStates are what happened since, and belong to this server's tasks alone, so that
//! neither waits for the other.

mod accept;
mod changes;
mod cron;
mod event;
mod events;
mod hooks;
mod queue;
mod reconcile;
mod record;
mod run_source;
mod states;
mod table;
mod test_fire;
mod timer_queue;
mod webhook_credentials;
mod webhook_reply;

pub use changes::NewSecret;
pub use event::PublishedEvent;
pub use events::Fired;
pub use hooks::{HookAnswer, HookRequest};
pub use record::{TriggerOrigin, TriggerRecord, TriggerState, WebhookCredentials};
pub use table::{TriggerEntry, Triggers};
pub use webhook_reply::HookReply;

pub(crate) use cron::run as keep_schedules;
pub(crate) use event::malformed;
pub(crate) use queue::run as hand_messages_over;
pub(crate) use reconcile::Reconciled;
pub(crate) use states::TriggerStates;
pub(crate) use webhook_credentials::sealed_values;
