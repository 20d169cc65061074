//! Frames on their way to a shim.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, Bytes, BytesMut};
use faas_proto::frame::{self, FrameKind};
use faas_proto::frame_heads::PublishedHead;
use parking_lot::Mutex;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::Notify;

/// The writing half of an instance's socket.
///
/// A sender writes by itself while the socket takes it, which spares a warm call the wake-up of another task. What
/// the socket does not take is queued for [`drive`](Self::drive). The queue is bounded by its senders: each open
/// stream queues one request, which the callers have limited to `BODY_MAX`, and opens are limited by concurrency.
pub(crate) struct Outbox {
    socket: OwnedWriteHalf,
    queue: Mutex<VecDeque<Bytes>>,
    queued: Notify,
    /// Pings ever sent.
    pings: AtomicU64,
}

// === impl Outbox ===

impl Outbox {
    pub(crate) fn new(socket: OwnedWriteHalf) -> Self {
        Self { socket, queue: Mutex::new(VecDeque::new()), queued: Notify::new(), pings: AtomicU64::new(0) }
    }

    /// Sends frames in order, now or as soon as the socket takes them. A broken socket is seen by the reader.
    pub(crate) fn send(&self, frames: impl IntoIterator<Item = Bytes>) {
        let mut queue = self.queue.lock();
        let idle = queue.is_empty();
        queue.extend(frames);
        if idle && !self.write(&mut queue) {
            self.queued.notify_one();
        }
    }

    /// A part of a request's body, at most a chunk's length.
    pub(crate) fn send_chunk(&self, stream: u32, chunk: Bytes, is_last: bool) {
        let header = frame::header(FrameKind::Body, is_last, stream, chunk.len());
        let header = Bytes::copy_from_slice(&header);
        self.send([header, chunk].into_iter().filter(|part| !part.is_empty()));
    }

    /// The shim may send so many more bytes of a reply's body.
    pub(crate) fn send_window(&self, stream: u32, bytes: u32) {
        let mut whole = BytesMut::with_capacity(frame::HEADER_LEN + 4);
        frame::encode(&mut whole, FrameKind::Window, false, stream, &bytes.to_le_bytes());
        self.send([whole.freeze()]);
    }

    /// What became of a publication.
    pub(crate) fn send_published(&self, stream: u32, head: &PublishedHead<'_>) {
        let head = serde_json::to_vec(head).expect("strings always serialise");
        let mut whole = BytesMut::with_capacity(frame::HEADER_LEN + head.len());
        frame::encode(&mut whole, FrameKind::Published, true, stream, &head);
        self.send([whole.freeze()]);
    }

    /// Asks whether anything that was cancelled still runs; gives the number that the answer repeats.
    pub(crate) fn send_ping(&self) -> u64 {
        let number = self.pings.fetch_add(1, Ordering::Relaxed) + 1;
        let mut whole = BytesMut::with_capacity(frame::HEADER_LEN + 8);
        frame::encode(&mut whole, FrameKind::Ping, false, 0, &number.to_le_bytes());
        self.send([whole.freeze()]);
        number
    }

    /// Nobody listens to a stream any more.
    pub(crate) fn send_cancel(&self, stream: u32) {
        self.send([Bytes::copy_from_slice(&frame::header(FrameKind::Cancel, true, stream, 0))]);
    }

    /// Writes what is queued, for ever. May be dropped and called again at any point.
    pub(crate) async fn drive(&self) -> io::Result<()> {
        loop {
            if self.queue.lock().is_empty() {
                self.queued.notified().await;
            }
            self.socket.writable().await?;
            self.write(&mut self.queue.lock());
        }
    }

    /// Whether all of the queue has been written.
    fn write(&self, queue: &mut VecDeque<Bytes>) -> bool {
        while let Some(front) = queue.front_mut() {
            match self.socket.try_write(front) {
                Ok(written) if written == front.len() => drop(queue.pop_front()),
                Ok(written) => front.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // The peer is gone: the reader sees it too and ends the instance.
                Err(_) => queue.clear(),
            }
        }
        true
    }
}
