//! Publish and subscribe within this process.

use async_trait::async_trait;
use faas_ports::{Event, EventStream, Events, PortResult, SubjectPattern};
use futures_util::stream;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Events for the subscribers of this process.
#[derive(Debug)]
pub(crate) struct LocalEvents {
    sender: broadcast::Sender<Event>,
}

// === impl LocalEvents ===

impl LocalEvents {
    /// A subscriber may lag `capacity` events behind before it loses the oldest.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { sender: broadcast::Sender::new(capacity.max(1)) }
    }
}

#[async_trait]
impl Events for LocalEvents {
    async fn publish(&self, event: Event) -> PortResult<()> {
        event.validate()?;
        // An error means that there is no receiver.
        let _ = self.sender.send(event);
        Ok(())
    }

    async fn subscribe(&self, pattern: &str) -> PortResult<EventStream> {
        let pattern = SubjectPattern::parse(pattern)?;
        let events = stream::unfold((self.sender.subscribe(), pattern), |(mut receiver, pattern)| async {
            loop {
                match receiver.recv().await {
                    Ok(event) if pattern.matches(&event.subject) => return Some((event, (receiver, pattern))),
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        Ok(Box::pin(events))
    }
}
