//! Publish and subscribe in memory.

use async_trait::async_trait;
use faas_ports::{Event, EventStream, Events, PortResult, SubjectPattern};
use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Subscribers of one process.
#[derive(Debug)]
pub struct MemoryEvents {
    sender: broadcast::Sender<Event>,
}

// === impl MemoryEvents ===

impl Default for MemoryEvents {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(1024) }
    }
}

#[async_trait]
impl Events for MemoryEvents {
    async fn publish(&self, event: Event) -> PortResult<()> {
        event.validate()?;
        // An error means that there is no receiver.
        let _ = self.sender.send(event);
        Ok(())
    }

    async fn subscribe(&self, pattern: &str) -> PortResult<EventStream> {
        let pattern = SubjectPattern::parse(pattern)?;
        let all = stream::unfold(self.sender.subscribe(), |mut receiver| async {
            match receiver.recv().await {
                Ok(event) => Some((Some(event), receiver)),
                Err(RecvError::Lagged(_)) => Some((None, receiver)),
                Err(RecvError::Closed) => None,
            }
        });
        let wanted = all
            .filter_map(move |event| std::future::ready(event.filter(|event: &Event| pattern.matches(&event.subject))));
        Ok(Box::pin(wanted))
    }
}
