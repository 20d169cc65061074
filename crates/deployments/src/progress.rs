//! Sends progress events of a deployment into its log. Sending never waits.

use std::sync::Arc;

use faas_ports::{BuildListener, Clock};
use faas_types::{FunctionName, LogStream};

use crate::event_log::{EventLog, ProgressEvent};

/// Sends the events of one function's deployment. The default drops them.
#[derive(Clone, Default)]
pub struct ProgressSender(Option<Channel>);

#[derive(Clone)]
struct Channel {
    function: FunctionName,
    log: Arc<EventLog>,
    clock: Arc<dyn Clock>,
}

// === impl ProgressSender ===

impl ProgressSender {
    pub(crate) fn new(function: FunctionName, log: Arc<EventLog>, clock: Arc<dyn Clock>) -> Self {
        Self(Some(Channel { function, log, clock }))
    }

    pub(crate) fn send(&self, event: ProgressEvent) {
        if let Some(Channel { function, log, clock }) = &self.0 {
            log.push(clock.now(), function, event);
        }
    }
}

impl std::fmt::Debug for ProgressSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ProgressSender").field(&self.0.as_ref().map(|channel| &channel.function)).finish()
    }
}

impl BuildListener for ProgressSender {
    fn line(&self, line: &str) {
        self.send(ProgressEvent::Line(LogStream::Platform, line.to_owned()));
    }
}
