//! Topics: messages are kept until the functions that subscribe have had them.
//!
//! A message is committed before its sender is answered, leaves its topic in the commit that enqueues a run with it
//! (`triggers/queue`), and comes to its end with that run. So it is always in exactly one place that a crash spares.

mod flow;
mod message;
mod send;

pub use message::OutgoingMessage;
pub use send::{SubscriberState, TopicSummary};

pub(crate) use flow::Flow;

use std::sync::Arc;

/// What sending and handing over share.
pub(crate) struct TopicHall {
    pub(crate) store: Arc<dyn faas_ports::Topics>,
    pub(crate) flow: Flow,
}
