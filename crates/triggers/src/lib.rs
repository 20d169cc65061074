//! Triggers: schedules, webhooks, events and messages that make runs.
//!
//! [`Triggers`] executes nothing: it enqueues runs in [`faas_runs`], and a webhook that answers makes a call like any other.
//! A trigger's record is configuration, which deployments and users change. Its state is noted apart from it when the
//! trigger fires, so that neither write waits for the other.
//!
//! A message is committed before its sender is answered, leaves its topic in the commit that enqueues a run with it, and
//! ends with that run. After a crash it is therefore in exactly one of the two.

mod accept;
mod background;
mod batches;
mod changes;
mod event;
mod events;
mod message;
mod message_dispatcher;
mod publication;
mod reconcile;
mod record;
mod run_source;
mod schedules;
mod service;
mod states;
mod subscription_tracker;
mod table;
mod test_fire;
mod timer_queue;
mod topics;
mod webhook_credentials;
mod webhook_reply;
mod webhooks;

pub use changes::{NewSecret, TriggerChange};
pub use event::PublishedEvent;
pub use events::Fired;
pub use message::OutgoingMessage;
pub use reconcile::Reconciled;
pub use record::{TriggerOrigin, TriggerRecord, TriggerState, WebhookCredentials};
pub use service::{TriggerDeps, Triggers};
pub use table::TriggerEntry;
pub use topics::{SubscriberState, TopicSummary};
pub use webhook_reply::{DeliveryOutcome, DeliveryReply};
pub use webhooks::WebhookDelivery;
