//! Topics: messages are kept until the functions that subscribe have had them.
//!
//! A message is committed before its sender is answered, leaves its topic in the commit that enqueues a run with it
//! (`triggers/queue`), and comes to its end with that run. So it is always in exactly one place that a crash spares.

mod message;
mod send;
mod subscription_tracker;

pub use message::OutgoingMessage;
pub use send::{SubscriberState, TopicSummary};

pub(crate) use subscription_tracker::SubscriptionTracker;

use std::sync::Arc;

/// What sending and handing over share.
pub(crate) struct TopicStore {
    pub(crate) store: Arc<dyn faas_ports::Topics>,
    pub(crate) tracker: SubscriptionTracker,
}
