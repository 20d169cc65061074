//! The invocations that an instance has under way.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use faas_ports::{ExchangeEnd, ExchangeItem, Invocation, LogEntry};
use faas_proto::frame::{self, FrameKind};
use faas_proto::frame_heads::InvokeHead;
use faas_types::limits::{BODY_MAX, LOG_BYTES_PER_RUN};
use futures_util::Stream;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::outbox::Outbox;

/// Items of one exchange that may wait for a slow caller before the instance is not read any more.
const EXCHANGE_CAPACITY: usize = 32;
/// Bodies up to this size are copied behind their head, so that the invocation is one write.
const COPIED_BODY_MAX: usize = 64 << 10;

/// The open streams of an instance, shared by its handle and its driver.
pub(crate) struct Streams {
    table: Mutex<Table>,
    outbox: Arc<Outbox>,
}

struct Table {
    next: u32,
    closed: bool,
    open: HashMap<u32, OpenStream>,
}

struct OpenStream {
    items: mpsc::Sender<ExchangeItem>,
    log_left: u64,
    dropped: u64,
    body_left: u64,
    headed: bool,
}

/// What the driver does with a frame of a stream.
pub(crate) enum Admission {
    /// Hand it over.
    Deliver(mpsc::Sender<ExchangeItem>),
    /// The stream has ended or run into a limit: forget the frame.
    Ignore,
    /// The shim broke the protocol.
    Breach(&'static str),
}

/// The stream of one invocation's items.
pub(crate) struct Exchange {
    id: u32,
    items: Option<mpsc::Receiver<ExchangeItem>>,
    ended: bool,
    streams: Arc<Streams>,
}

// === impl Streams ===

impl Streams {
    pub(crate) fn new(outbox: Arc<Outbox>) -> Self {
        Self { table: Mutex::new(Table { next: 1, closed: false, open: HashMap::new() }), outbox }
    }

    /// Opens a stream and sends the invocation on it.
    pub(crate) fn invoke(self: &Arc<Self>, invocation: &Invocation) -> Exchange {
        let (items, receiver) = mpsc::channel(EXCHANGE_CAPACITY);
        let opened = {
            let mut table = self.table.lock();
            let id = table.next;
            match id.checked_add(1).filter(|_| !table.closed) {
                Some(next) => {
                    table.next = next;
                    table.open.insert(id, OpenStream::new(items));
                    Some(id)
                }
                None => None,
            }
        };
        let Some(id) = opened else {
            return Exchange { id: 0, items: None, ended: false, streams: self.clone() };
        };
        self.outbox.send(invocation_frames(id, invocation));
        Exchange { id, items: Some(receiver), ended: false, streams: self.clone() }
    }

    /// Ends every stream as lost and opens no more.
    pub(crate) fn close(&self) {
        let mut table = self.table.lock();
        table.closed = true;
        table.open.clear();
    }

    /// The only open stream; output that names no run belongs to it.
    pub(crate) fn sole(&self) -> Option<u32> {
        let table = self.table.lock();
        let mut ids = table.open.keys();
        ids.next().copied().filter(|_| ids.next().is_none())
    }

    /// A log line of `len` bytes.
    pub(crate) fn admit_log(&self, id: u32, len: usize) -> Admission {
        self.admit(id, |stream| {
            let len = len as u64 + 1;
            if stream.log_left < len {
                stream.log_left = 0;
                stream.dropped += 1;
                return Admission::Ignore;
            }
            stream.log_left -= len;
            Admission::Deliver(stream.items.clone())
        })
    }

    pub(crate) fn admit_head(&self, id: u32) -> Admission {
        self.admit(id, |stream| {
            if std::mem::replace(&mut stream.headed, true) {
                return Admission::Breach("second reply head on a stream");
            }
            Admission::Deliver(stream.items.clone())
        })
    }

    /// A body chunk of `len` bytes; `Err` when it takes the reply over its limit, with the stream then closed.
    pub(crate) fn admit_chunk(&self, id: u32, len: usize) -> Result<Admission, mpsc::Sender<ExchangeItem>> {
        let mut over = None;
        let admission = self.admit(id, |stream| {
            if !stream.headed {
                return Admission::Breach("reply body before its head");
            }
            match stream.body_left.checked_sub(len as u64) {
                Some(left) => stream.body_left = left,
                None => over = Some(stream.items.clone()),
            }
            Admission::Deliver(stream.items.clone())
        });
        match over {
            Some(items) => {
                self.table.lock().open.remove(&id);
                self.cancel(id);
                Err(items)
            }
            None => Ok(admission),
        }
    }

    /// Takes a stream that ends out of the table, with its count of dropped log lines.
    pub(crate) fn finish(&self, id: u32) -> Result<Option<(mpsc::Sender<ExchangeItem>, u64)>, &'static str> {
        let mut table = self.table.lock();
        match table.open.remove(&id) {
            Some(stream) => Ok(Some((stream.items, stream.dropped))),
            None if table.was_opened(id) => Ok(None),
            None => Err("end of a stream that was never opened"),
        }
    }

    fn admit(&self, id: u32, decide: impl FnOnce(&mut OpenStream) -> Admission) -> Admission {
        let mut table = self.table.lock();
        if let Some(stream) = table.open.get_mut(&id) {
            return decide(stream);
        }
        if table.was_opened(id) {
            return Admission::Ignore;
        }
        Admission::Breach("frame of a stream that was never opened")
    }

    fn cancel(&self, id: u32) {
        self.outbox.send([Bytes::copy_from_slice(&frame::header(FrameKind::Cancel, true, id, 0))]);
    }
}

// === impl Table ===

impl Table {
    fn was_opened(&self, id: u32) -> bool {
        (1..self.next).contains(&id)
    }
}

// === impl OpenStream ===

impl OpenStream {
    fn new(items: mpsc::Sender<ExchangeItem>) -> Self {
        Self { items, log_left: LOG_BYTES_PER_RUN, dropped: 0, body_left: BODY_MAX, headed: false }
    }
}

// === impl Exchange ===

impl Stream for Exchange {
    type Item = ExchangeItem;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ExchangeItem>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = match &mut self.items {
            Some(items) => std::task::ready!(items.poll_recv(context)),
            None => None,
        };
        // A driver that stops drops its senders: whoever has seen no end then has lost the instance.
        let item = next.unwrap_or(ExchangeItem::End(ExchangeEnd::Lost));
        self.ended = matches!(item, ExchangeItem::End(_));
        Poll::Ready(Some(item))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.ended && self.streams.table.lock().open.remove(&self.id).is_some() {
            self.streams.cancel(self.id);
        }
    }
}

/// Hands an item to a caller, waiting for one that is slow. One that has gone away is noticed by its `Exchange`.
pub(crate) async fn deliver(items: mpsc::Sender<ExchangeItem>, item: ExchangeItem) {
    if let Err(mpsc::error::TrySendError::Full(item)) = items.try_send(item) {
        let _ = items.send(item).await;
    }
}

/// Hands a log line to a caller or to the instance's log, where overflow is dropped.
pub(crate) async fn deliver_log(admission: Admission, logs: &mpsc::Sender<LogEntry>, entry: LogEntry) {
    match admission {
        Admission::Deliver(items) => deliver(items, ExchangeItem::Log(entry)).await,
        Admission::Ignore => {}
        Admission::Breach(_) => drop(logs.try_send(entry)),
    }
}

fn invocation_frames(id: u32, invocation: &Invocation) -> Vec<Bytes> {
    let head = InvokeHead {
        run: &invocation.run.to_string(),
        method: &invocation.method,
        path: &invocation.path,
        query: &invocation.query,
        headers: &invocation.headers,
        deadline: invocation.deadline.as_millis(),
    };
    let head = serde_json::to_vec(&head).expect("strings and numbers always serialise");
    let body = &invocation.body;
    let mut first = BytesMut::with_capacity(2 * frame::HEADER_LEN + head.len() + body.len().min(COPIED_BODY_MAX));
    frame::encode(&mut first, FrameKind::Invoke, body.is_empty(), id, &head);
    if body.is_empty() {
        return vec![first.freeze()];
    }
    if body.len() <= COPIED_BODY_MAX {
        frame::encode_spread(&mut first, FrameKind::Body, id, body);
        return vec![first.freeze()];
    }
    let mut frames = vec![first.freeze()];
    let mut rest = body.clone();
    while !rest.is_empty() {
        let chunk = rest.split_to(rest.len().min(frame::CHUNK_LEN));
        let header = frame::header(FrameKind::Body, rest.is_empty(), id, chunk.len());
        frames.push(Bytes::copy_from_slice(&header));
        frames.push(chunk);
    }
    frames
}
