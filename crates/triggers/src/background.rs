//! The tasks that fire schedules and hand messages to runs.

use std::sync::Arc;
use std::time::Duration;

use super::message_dispatcher::MessageDispatcher;
use super::schedules::keep_schedules;
use super::service::Triggers;

// === impl Triggers ===

impl Triggers {
    /// Connects runs with their triggers and starts the tasks, which end when the server stops. A schedule notices within
    /// `look_every` that the clock was moved.
    pub fn start(self: &Arc<Self>, look_every: Duration) {
        // Coerced apart: a `Weak` of each trait has its own layout.
        let (publisher, source) = (Arc::downgrade(self), Arc::downgrade(self));
        self.runs.hooks.connect(publisher, source);
        self.lifecycle.spawn(keep_schedules(Arc::clone(self), look_every));
        self.lifecycle.spawn(MessageDispatcher::new(Arc::clone(self)).run());
    }
}
