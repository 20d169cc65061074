//! Events and messages that a run publishes from inside its sandbox. The run's record says who publishes; everything else
//! is checked as if it came from outside.

use std::sync::Arc;

use async_trait::async_trait;
use faas_ports::Publication;
use faas_proto::cloud_event::CloudEvent;
use faas_runs::body_budget::BodyOwner;
use faas_runs::hooks::{Publisher, PublishingRun};
use faas_types::{Code, EventId, Fault, InvalidName, TopicName};

use super::event::{PublishedEvent, malformed};
use super::message::OutgoingMessage;
use super::service::Triggers;

#[async_trait]
impl Publisher for Triggers {
    /// Commits what a run publishes or sends and returns the id. Works while the server drains, since runs may still end
    /// then.
    async fn publish_for(self: Arc<Self>, publisher: PublishingRun, publication: Publication) -> Result<String, Fault> {
        let (Publication::Event { data, .. } | Publication::Message { body: data, .. }) = &publication;
        // A run may end before its publication is committed, so the number of calls does not bound the bytes.
        let mut room = self.runs.bodies.open(BodyOwner { project: publisher.project, function: publisher.function_id });
        room.grow(data.len() as u64)?;
        match publication {
            Publication::Event { what, source, subject, id, content_type, data } => {
                let now = self.clock.now();
                let minted: EventId = self.ids.mint(now);
                let id = id.unwrap_or_else(|| minted.to_string());
                let attributes = [
                    ("id", Some(id.clone())),
                    ("source", Some(source.unwrap_or_else(|| format!("/functions/{}", publisher.function)))),
                    ("type", what),
                    ("subject", subject),
                    ("time", Some(now.to_string())),
                    ("datacontenttype", content_type),
                ];
                let given = attributes.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
                let data = (!data.is_empty()).then_some(data);
                let event = CloudEvent::of(given, data).map_err(|error| malformed(&error))?;
                self.fire(publisher.project, &[PublishedEvent::after(event, publisher.hops)]).await?;
                Ok(id)
            }
            Publication::Message { topic, content_type, attributes, body } => {
                let topic: TopicName =
                    topic.parse().map_err(|error: InvalidName| Fault::new(Code::BadRequest, error.to_string()))?;
                let message = OutgoingMessage { body, content_type, attributes };
                let ids = self.append(publisher.project, &topic, vec![message], publisher.hops).await?;
                ids.first().map(ToString::to_string).ok_or_else(|| Fault::internal("a message was kept without an id"))
            }
        }
    }
}
