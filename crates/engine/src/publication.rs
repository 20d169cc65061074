//! What a run publishes and sends from inside its sandbox. Whose it is comes from the run's record alone; everything else is
//! checked as if it came from outside.

use std::sync::Arc;

use faas_ports::Publication;
use faas_proto::cloud_event::CloudEvent;
use faas_types::{
    Code, EventId, Fault, FunctionId, FunctionName, InvalidName, ProjectId, RunRecord, TopicName, limits,
};

use crate::body_budget::BodyOwner;
use crate::core::Core;
use crate::topics::OutgoingMessage;
use crate::triggers::{PublishedEvent, malformed};

/// The run that publishes or sends.
pub(crate) struct Author {
    project: ProjectId,
    function: FunctionName,
    id: FunctionId,
    /// How many runs led to what comes of it, this one included.
    hops: u32,
}

// === impl Author ===

impl Author {
    /// The author of a run's publication, which is its attempt's `count`th.
    ///
    /// # Errors
    /// `FN_007` when these are too many, `FN_012` when too many runs led to this one.
    pub(crate) fn of(record: &RunRecord, count: u32) -> Result<Self, Fault> {
        if count > limits::PUBLICATIONS_MAX {
            let most = limits::PUBLICATIONS_MAX;
            let message = format!("a run publishes and sends at most {most} events and messages");
            return Err(Fault::new(Code::RateLimited, message).with_hint("put more into each, or publish from outside"));
        }
        let hops = record.onward.as_ref().map_or(0, |onward| onward.hops);
        if hops >= limits::HOPS_MAX {
            let message = format!("{hops} runs led to this one, each caused by the one before; it can cause no other");
            return Err(Fault::new(Code::BadRequest, message)
                .with_hint("look for functions that publish what they subscribe to"));
        }
        let (project, id, function) = (record.project, record.function, record.function_name.clone());
        Ok(Self { project, function, id, hops: hops + 1 })
    }
}

// === impl Core ===

impl Core {
    /// Keeps what a run publishes or sends; its id. Goes on while the server drains, for the run is let to end as well.
    pub(crate) async fn publish_from_inside(
        self: &Arc<Self>,
        author: Author,
        publication: Publication,
    ) -> Result<String, Fault> {
        let (Publication::Event { data, .. } | Publication::Message { body: data, .. }) = &publication;
        // Runs end before what they published is kept, so calls at once do not bound it.
        let mut room = self.bodies.open(BodyOwner { project: author.project, function: author.id });
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
