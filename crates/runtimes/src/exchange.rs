//! One invocation on its way: its frames go out, and its items come back to the task that waits for them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use faas_ports::{BodyStream, ExchangeEnd, ExchangeItem, Invocation, InvocationBody};
use faas_proto::frame::{self, FrameKind, WINDOW};
use faas_proto::invoke_head::InvokeHead;
use futures_util::{Stream, StreamExt};

use crate::inbox::Inbox;
use crate::outbox::{Outbox, Queued};
use crate::streams::Streams;

/// Bodies up to this size are copied behind their head, so that the invocation is one write.
const COPIED_BODY_MAX: usize = 64 << 10;
/// Bytes that a caller takes before the shim is told: rare enough to cost little, often enough that the sender does not wait.
const TOLD_AFTER: u64 = WINDOW as u64 / 4;

/// The stream of one invocation's items. Dropped before its end, it cancels the invocation.
pub(crate) struct Exchange {
    id: u32,
    inbox: Arc<Inbox>,
    ended: bool,
    /// Bytes of the reply's body that were taken since the shim was told.
    taken: u64,
    upload: Option<Upload>,
    streams: Arc<Streams>,
    outbox: Arc<Outbox>,
}

/// A request's body on its way into the sandbox, as far as the shim asks for it.
struct Upload {
    /// What was taken from `rest` and waits for credit.
    ready: Bytes,
    rest: Option<BodyStream>,
}

// === impl Exchange ===

impl Exchange {
    /// Opens a stream and sends the invocation on it. `on_demand` says that the shim asks for the body piece by piece.
    pub(crate) fn begin(streams: &Arc<Streams>, outbox: &Arc<Outbox>, invocation: Invocation, on_demand: bool) -> Self {
        let inbox = Arc::new(Inbox::default());
        let opened = streams.open(&inbox);
        let mut exchange = Self {
            id: opened.unwrap_or_default(),
            inbox,
            ended: false,
            taken: 0,
            upload: None,
            streams: Arc::clone(streams),
            outbox: Arc::clone(outbox),
        };
        if opened.is_some() {
            exchange.send(invocation, on_demand);
        } else {
            exchange.inbox.close();
        }
        exchange
    }

    fn send(&mut self, mut invocation: Invocation, on_demand: bool) {
        let body = std::mem::take(&mut invocation.body);
        let head = head(&invocation);
        match body {
            InvocationBody::Whole(body) if !on_demand || body.len() <= COPIED_BODY_MAX => {
                self.outbox.send(whole_frames(self.id, &head, body));
            }
            body => {
                let mut first = BytesMut::with_capacity(frame::HEADER_LEN + head.len());
                frame::encode(&mut first, FrameKind::Invoke, false, self.id, &head);
                self.outbox.send([Queued::invocation(self.id, first.freeze())]);
                let (ready, rest) = match body {
                    InvocationBody::Whole(body) => (body, None),
                    InvocationBody::Stream(rest) => (Bytes::new(), Some(rest)),
                };
                self.upload = Some(Upload { ready, rest });
                if !on_demand {
                    // The shim collects the body, whatever its size up to the limit.
                    self.inbox.add_credit(u64::MAX);
                }
            }
        }
    }

    /// Sends as much of the body as there is and as the shim asks for.
    fn poll_upload(&mut self, context: &mut Context<'_>) -> Option<ExchangeItem> {
        let upload = self.upload.as_mut()?;
        loop {
            while !upload.ready.is_empty() {
                if !self.outbox.poll_room(context) {
                    return None;
                }
                let most = upload.ready.len().min(frame::CHUNK_LEN);
                let granted = self.inbox.take_credit(most as u64);
                if granted == 0 {
                    return None;
                }
                // At most a chunk's length, so it fits.
                let chunk = upload.ready.split_to(usize::try_from(granted).unwrap_or(most));
                let is_last = upload.ready.is_empty() && upload.rest.is_none();
                self.outbox.send([Queued::body(self.id, chunk, is_last)]);
                if is_last {
                    self.upload = None;
                    return None;
                }
            }
            // Taken from the client only when the shim wants more: otherwise its connection holds it back.
            if self.inbox.credit() == 0 {
                return None;
            }
            match upload.rest.as_mut()?.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(bytes))) => upload.ready = bytes,
                Poll::Ready(Some(Err(fault))) => {
                    self.upload = None;
                    return Some(ExchangeItem::End(ExchangeEnd::Broken { fault }));
                }
                Poll::Ready(None) => {
                    self.outbox.send([Queued::body(self.id, Bytes::new(), true)]);
                    self.upload = None;
                    return None;
                }
                Poll::Pending => return None,
            }
        }
    }

    /// Lets the shim send as much as the caller has taken.
    fn took(&mut self, bytes: usize) {
        self.taken += bytes as u64;
        if self.taken >= TOLD_AFTER && self.streams.widen(self.id, self.taken) {
            let granted = u32::try_from(self.taken).unwrap_or(u32::MAX);
            self.outbox.send_window(self.id, granted);
            self.taken = 0;
        }
    }
}

impl Stream for Exchange {
    type Item = ExchangeItem;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ExchangeItem>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let item = match self.inbox.poll_next(context) {
            // A driver that stops closes the inbox: a reader that has seen no end then has lost the instance.
            Poll::Ready(item) => item.unwrap_or(ExchangeItem::End(ExchangeEnd::Lost)),
            Poll::Pending => match self.poll_upload(context) {
                Some(item) => {
                    if self.streams.forget(self.id) {
                        self.outbox.send_cancel(self.id);
                    }
                    item
                }
                None => return Poll::Pending,
            },
        };
        match &item {
            ExchangeItem::Body(chunk) => self.took(chunk.len()),
            ExchangeItem::End(_) | ExchangeItem::Reply { .. } => self.ended = true,
            ExchangeItem::Head(_) | ExchangeItem::Log(_) | ExchangeItem::Unfinished(_) | ExchangeItem::Publish(_) => {}
        }
        Poll::Ready(Some(item))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.inbox.abandon();
        if !self.ended && self.streams.forget(self.id) {
            self.outbox.send_cancel(self.id);
        }
    }
}

fn head(invocation: &Invocation) -> Vec<u8> {
    let head = InvokeHead {
        run: &invocation.run.to_string(),
        method: &invocation.method,
        path: &invocation.path,
        query: &invocation.query,
        headers: &invocation.headers,
        deadline: invocation.deadline.as_millis(),
    };
    head.to_json()
}

fn whole_frames(id: u32, head: &[u8], body: Bytes) -> Vec<Queued> {
    let mut first = BytesMut::with_capacity(2 * frame::HEADER_LEN + head.len() + body.len().min(COPIED_BODY_MAX));
    frame::encode(&mut first, FrameKind::Invoke, body.is_empty(), id, head);
    if body.is_empty() {
        return vec![Queued::invocation(id, first.freeze())];
    }
    if body.len() <= COPIED_BODY_MAX {
        frame::encode_spread(&mut first, FrameKind::Body, id, &body);
        return vec![Queued::invocation(id, first.freeze())];
    }
    let mut frames = vec![Queued::invocation(id, first.freeze())];
    let mut rest = body;
    while !rest.is_empty() {
        let chunk = rest.split_to(rest.len().min(frame::CHUNK_LEN));
        frames.push(Queued::body(id, chunk, rest.is_empty()));
    }
    frames
}
