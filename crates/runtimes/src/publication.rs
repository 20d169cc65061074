//! What user code publishes or sends, between the frames of its stream and the engine.

use std::sync::Arc;

use bytes::Bytes;
use faas_ports::{Publication, PublishReply};
use faas_proto::frame_heads::{PublishHead, PublishedHead};
use faas_types::{ByteSize, Code, Fault};

use crate::link::Link;

/// Bytes of a refusal's message.
const MESSAGE_MAX: usize = 4 << 10;

/// A publication from its head and its data; `None` when the head is malformed.
pub(crate) fn read(head: &[u8], data: Bytes) -> Option<Publication> {
    Some(match serde_json::from_slice(head).ok()? {
        PublishHead::Event { what, source, subject, id, content_type } => {
            Publication::Event { what, source, subject, id, content_type, data }
        }
        PublishHead::Message { topic, content_type, attributes } => {
            Publication::Message { topic, content_type, attributes, body: data }
        }
    })
}

/// The refusal of a publication whose head has more than `most` bytes.
pub(crate) fn too_large(most: usize) -> Fault {
    let most = ByteSize::from_bytes(most as u64);
    Fault::new(Code::PayloadTooLarge, format!("the attributes are larger than {most} together"))
        .with_hint("send what is large as data")
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
