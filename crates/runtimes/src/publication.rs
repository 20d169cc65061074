//! What user code publishes or sends, between the frames of its stream and the engine.

use std::sync::Arc;

use bytes::Bytes;
use faas_ports::{Publication, PublishReply};
use faas_proto::frame_heads::{self, PublishHead, PublishedHead};
use faas_types::Fault;

use crate::driver::Link;

/// Bytes of a refusal's message.
const MESSAGE_MAX: usize = 4 << 10;

/// The payload of a publish frame; `None` when it is malformed.
pub(crate) fn read(payload: &Bytes) -> Option<Publication> {
    let (head, data) = frame_heads::split_reply(payload)?;
    Some(match serde_json::from_slice(&head).ok()? {
        PublishHead::Event { what, source, subject, id, content_type } => {
            Publication::Event { what, source, subject, id, content_type, data }
        }
        PublishHead::Message { topic, content_type, attributes } => {
            Publication::Message { topic, content_type, attributes, body: data }
        }
    })
}

/// Sends the answer to a publication of a stream, if that is still open.
pub(crate) fn reply(link: &Link, stream: u32) -> PublishReply {
    let (streams, outbox) = (Arc::clone(&link.streams), Arc::clone(&link.outbox));
    PublishReply::new(move |outcome| {
        // Before the answer is on its way: the next publication may follow at once.
        if streams.answered(stream) {
            outbox.send_published(stream, &head(&outcome));
        }
    })
}

fn head(outcome: &Result<String, Fault>) -> PublishedHead<'_> {
    match outcome {
        Ok(id) => PublishedHead::Kept { id },
        Err(Fault { code, message, hint, .. }) => {
            let message = &message[..message.floor_char_boundary(MESSAGE_MAX)];
            PublishedHead::Refused { code: *code, message, hint: hint.as_deref() }
        }
    }
}
