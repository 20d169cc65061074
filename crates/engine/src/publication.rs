//! What a run publishes and sends from inside its sandbox. Whose it is comes from the run's record alone; everything else is
//! checked as if it came from outside.

use std::sync::Arc;

use async_trait::async_trait;
use faas_ports::Publication;
use faas_proto::cloud_event::CloudEvent;
use faas_runs::body_budget::BodyOwner;
use faas_runs::hooks::{Publisher, PublishingRun};
use faas_types::{Code, EventId, Fault, InvalidName, TopicName};

use crate::core::Core;
use crate::topics::OutgoingMessage;
use crate::triggers::{PublishedEvent, malformed};

#[async_trait]
impl Publisher for Core {
    /// Keeps what a run publishes or sends; its id. Goes on while the server drains, for the run is let to end as well.
    async fn publish_for(self: Arc<Self>, author: PublishingRun, publication: Publication) -> Result<String, Fault> {
        let (Publication::Event { data, .. } | Publication::Message { body: data, .. }) = &publication;
        // Runs end before what they published is kept, so calls at once do not bound it.
        let mut room = self.runs.bodies.open(BodyOwner { project: author.project, function: author.function_id });
        room.grow(data.len() as u64)?;
        match publication {
            Publication::Event { what, source, subject, id, content_type, data } => {
                let now = self.clock.now();
                let minted: EventId = self.ids.mint(now);
                let id = id.unwrap_or_else(|| minted.to_string());
                let attributes = [
                    ("id", Some(id.clone())),
                    ("source", Some(source.unwrap_or_else(|| format!("/functions/{}", author.function)))),
                    ("type", what),
                    ("subject", subject),
                    ("time", Some(now.to_string())),
                    ("datacontenttype", content_type),
                ];
                let given = attributes.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
                let data = (!data.is_empty()).then_some(data);
                let event = CloudEvent::of(given, data).map_err(|error| malformed(&error))?;
                self.publish(author.project, &[PublishedEvent::after(event, author.hops)]).await?;
                Ok(id)
            }
            Publication::Message { topic, content_type, attributes, body } => {
                let topic: TopicName =
                    topic.parse().map_err(|error: InvalidName| Fault::new(Code::BadRequest, error.to_string()))?;
                let message = OutgoingMessage { body, content_type, attributes };
                let ids = self.send(author.project, &topic, vec![message], author.hops).await?;
                ids.first().map(ToString::to_string).ok_or_else(|| Fault::internal("a message was kept without an id"))
            }
        }
    }
}
