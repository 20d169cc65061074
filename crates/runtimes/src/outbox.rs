//! Frames on their way to a shim.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};

use bytes::{Buf, Bytes, BytesMut};
use faas_proto::frame::{self, FrameKind};
use faas_proto::frame_heads::PublishedHead;
use parking_lot::Mutex;
use tokio::io::Interest;
use tokio::sync::Notify;

/// Bytes that wait for the shim before no more of arriving bodies is queued.
const UPLOADS_MAX: usize = 1 << 20;
/// Bytes of answers that a shim may leave unread. Bodies and invocations are not among them.
const ANSWERS_MAX: usize = 256 << 10;
/// Frames that one write takes at once.
const GATHERED: usize = 8;

/// The writing half of an instance's socket.
///
/// A sender writes by itself while the socket takes it, which spares a warm call the wake-up of another task. What
/// the socket does not take is queued for [`drive`](Self::drive). The queue is bounded whatever the shim reads: bodies that
/// still arrive stop at `UPLOADS_MAX`, a call that is given up takes its frames along, collected bodies hold room of the
/// budget of all bodies, and a shim that leaves more than `ANSWERS_MAX` of answers unread has broken the protocol.
pub(crate) struct Outbox {
    socket: UnixStream,
    queue: Mutex<Queue>,
    queued: Notify,
    /// Pings ever sent.
    pings: AtomicU64,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Queued>,
    bytes: usize,
    /// Bytes of frames that answer the shim.
    answers: usize,
    /// Senders of bodies that wait for room.
    uploads: Vec<Waker>,
}

/// One or more whole frames.
pub(crate) struct Queued {
    stream: u32,
    purpose: Purpose,
    head: Bytes,
    body: Bytes,
    /// Some of it was written, so that the rest has to follow.
    begun: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Opens its stream.
    Invocation,
    Body,
    Answer,
}

// === impl Queued ===

impl Queued {
    /// The first frame of a stream, or of the instance itself.
    pub(crate) fn invocation(stream: u32, frame: Bytes) -> Self {
        Self { stream, purpose: Purpose::Invocation, head: frame, body: Bytes::new(), begun: false }
    }

    /// A part of a request's body, at most a chunk's length.
    pub(crate) fn body(stream: u32, chunk: Bytes, is_last: bool) -> Self {
        let header = frame::header(FrameKind::Body, is_last, stream, chunk.len());
        let head = Bytes::copy_from_slice(&header);
        Self { stream, purpose: Purpose::Body, head, body: chunk, begun: false }
    }

    fn answer(kind: FrameKind, end: bool, stream: u32, payload: &[u8]) -> Self {
        let mut whole = BytesMut::with_capacity(frame::HEADER_LEN + payload.len());
        frame::encode(&mut whole, kind, end, stream, payload);
        Self { stream, purpose: Purpose::Answer, head: whole.freeze(), body: Bytes::new(), begun: false }
    }

    fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Drops bytes that were written; returns how many of `count` are left for the next one.
    fn advance(&mut self, count: usize) -> usize {
        self.begun |= count > 0;
        let of_head = count.min(self.head.len());
        self.head.advance(of_head);
        let of_body = (count - of_head).min(self.body.len());
        self.body.advance(of_body);
        count - of_head - of_body
    }
}

// === impl Queue ===

impl Queue {
    fn push(&mut self, queued: Queued) {
        self.bytes += queued.len();
        if queued.purpose == Purpose::Answer {
            self.answers += queued.len();
        }
        self.frames.push_back(queued);
    }

    fn wrote(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(front) = self.frames.front_mut() {
            let before = front.len();
            count = front.advance(count);
            let (left, purpose) = (front.len(), front.purpose);
            if purpose == Purpose::Answer {
                self.answers -= before - left;
            }
            if left > 0 {
                break;
            }
            self.frames.pop_front();
        }
        self.wake();
    }

    /// Takes the frames of a stream out; whether the shim has heard of it.
    fn remove(&mut self, stream: u32) -> bool {
        let Self { frames, bytes, answers, .. } = self;
        let mut heard = true;
        frames.retain(|queued| {
            let stays = queued.stream != stream || queued.begun;
            if !stays {
                *bytes -= queued.len();
                *answers -= if queued.purpose == Purpose::Answer { queued.len() } else { 0 };
                heard &= queued.purpose != Purpose::Invocation;
            }
            stays
        });
        self.wake();
        heard
    }

    fn clear(&mut self) {
        let uploads = std::mem::take(&mut self.uploads);
        *self = Self::default();
        uploads.into_iter().for_each(Waker::wake);
    }

    fn wake(&mut self) {
        if self.bytes <= UPLOADS_MAX / 2 {
            self.uploads.drain(..).for_each(Waker::wake);
        }
    }
}

// === impl Outbox ===

impl Outbox {
    pub(crate) fn new(socket: UnixStream) -> Self {
        Self { socket, queue: Mutex::default(), queued: Notify::new(), pings: AtomicU64::new(0) }
    }

    /// Sends frames in order, now or as soon as the socket takes them. A broken socket is seen by the reader.
    pub(crate) fn send(&self, frames: impl IntoIterator<Item = Queued>) {
        let mut queue = self.queue.lock();
        let idle = queue.frames.is_empty();
        frames.into_iter().for_each(|queued| queue.push(queued));
        if idle && !self.write(&mut queue) {
            self.queued.notify_one();
        }
    }

    /// Whether a body that still arrives finds room. If not, the task is woken once it does.
    pub(crate) fn poll_room(&self, context: &Context<'_>) -> bool {
        let mut queue = self.queue.lock();
        if queue.bytes < UPLOADS_MAX {
            return true;
        }
        if !queue.uploads.iter().any(|waker| waker.will_wake(context.waker())) {
            queue.uploads.push(context.waker().clone());
        }
        false
    }

    /// The shim has left more answers unread than it may.
    pub(crate) fn is_ignored(&self) -> bool {
        self.queue.lock().answers > ANSWERS_MAX
    }

    /// Lets the shim send more bytes of a reply's body.
    pub(crate) fn send_window(&self, stream: u32, bytes: u32) {
        self.send([Queued::answer(FrameKind::Window, false, stream, &bytes.to_le_bytes())]);
    }

    /// What became of a publication.
    pub(crate) fn send_published(&self, stream: u32, head: &PublishedHead<'_>) {
        let head = serde_json::to_vec(head).expect("strings always serialise");
        self.send([Queued::answer(FrameKind::Published, true, stream, &head)]);
    }

    /// Asks whether anything that was cancelled still runs; gives the number that the answer repeats.
    pub(crate) fn send_ping(&self) -> u64 {
        let number = self.pings.fetch_add(1, Ordering::Relaxed) + 1;
        self.send([Queued::answer(FrameKind::Ping, false, 0, &number.to_le_bytes())]);
        number
    }

    /// Pings that were sent.
    pub(crate) fn pings(&self) -> u64 {
        self.pings.load(Ordering::Relaxed)
    }

    /// Asks the shim to end by itself.
    pub(crate) fn send_shutdown(&self) {
        self.send([Queued::answer(FrameKind::Shutdown, true, 0, &[])]);
    }

    /// The reader of a stream is gone: what waits for the shim is taken back, and it is told if it has heard of it.
    pub(crate) fn send_cancel(&self, stream: u32) {
        if self.queue.lock().remove(stream) {
            self.send([Queued::answer(FrameKind::Cancel, true, stream, &[])]);
        }
    }

    /// Writes what is queued, for ever. May be dropped and called again at any point.
    pub(crate) async fn drive(&self) -> io::Result<()> {
        loop {
            if self.queue.lock().frames.is_empty() {
                self.queued.notified().await;
            }
            // Only now, since most sockets always take what there is.
            let space = tokio::net::UnixStream::from_std(self.socket.try_clone()?)?;
            loop {
                space.writable().await?;
                let written = space.try_io(Interest::WRITABLE, || {
                    if self.write(&mut self.queue.lock()) { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
                });
                if written.is_ok() {
                    break;
                }
            }
        }
    }

    /// Whether all of the queue has been written.
    fn write(&self, queue: &mut Queue) -> bool {
        while !queue.frames.is_empty() {
            let mut slices = [IoSlice::new(&[]); 2 * GATHERED];
            let parts =
                queue.frames.iter().flat_map(|queued| [&queued.head, &queued.body]).filter(|part| !part.is_empty());
            let count = slices.iter_mut().zip(parts).map(|(slice, part)| *slice = IoSlice::new(part)).count();
            match (&self.socket).write_vectored(&slices[..count]) {
                Ok(written) => queue.wrote(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // The peer is gone: the reader sees it too and ends the instance.
                Err(_) => queue.clear(),
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    fn stuck() -> (tokio::net::UnixStream, Outbox) {
        let (ours, theirs) = UnixStream::pair().expect("sockets");
        let set = [&ours, &theirs].map(|socket| socket.set_nonblocking(true));
        assert!(set.iter().all(Result::is_ok));
        let (theirs, outbox) = (tokio::net::UnixStream::from_std(theirs).expect("registered"), Outbox::new(ours));
        // Whatever the socket's buffer takes.
        outbox.send(bodies(1, 8 << 20));
        assert!(!outbox.queue.lock().frames.is_empty(), "the socket takes no more");
        (theirs, outbox)
    }

    fn bodies(stream: u32, length: usize) -> impl Iterator<Item = Queued> {
        let chunk = Bytes::from(vec![0; frame::CHUNK_LEN]);
        (0..length / frame::CHUNK_LEN).map(move |_| Queued::body(stream, chunk.clone(), false))
    }

    async fn has_room(outbox: &Outbox) -> bool {
        std::future::poll_fn(|context| Poll::Ready(outbox.poll_room(context))).await
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_takes_its_frames_along() {
        let (_theirs, outbox) = stuck();
        let before = outbox.queue.lock().bytes;
        outbox.send([Queued::invocation(2, Bytes::from_static(b"invoke"))]);
        outbox.send(bodies(2, 3 << 20));
        outbox.send_window(2, 7);
        assert!(outbox.queue.lock().bytes > before + (3 << 20));
        outbox.send_cancel(2);
        assert_eq!(outbox.queue.lock().bytes, before, "the shim had not heard of it, and is told nothing");
        outbox.send_cancel(1);
        let queue = outbox.queue.lock();
        assert_eq!(queue.frames.len(), 2, "a frame that has begun is carried to its end, and the shim is told");
        assert!(queue.bytes <= frame::CHUNK_LEN + 2 * frame::HEADER_LEN, "{}", queue.bytes);
    }

    #[tokio::test]
    async fn bodies_wait_for_a_shim_that_reads_nothing() {
        let (theirs, outbox) = stuck();
        assert!(!has_room(&outbox).await);
        let reading = async {
            let mut buffer = BytesMut::new();
            while !has_room(&outbox).await {
                buffer.clear();
                buffer.reserve(1 << 20);
                theirs.readable().await.expect("open");
                let _ = theirs.try_read_buf(&mut buffer);
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = outbox.drive() => panic!("the socket is open"),
            () = reading => {}
        }
        assert!(outbox.queue.lock().bytes < UPLOADS_MAX);
    }

    #[tokio::test]
    async fn answers_that_nobody_reads_are_a_breach() {
        let (_theirs, outbox) = stuck();
        let head = PublishedHead::Kept { id: "evt_1" };
        for _ in 0..3 {
            outbox.send_published(1, &head);
        }
        assert!(!outbox.is_ignored());
        for _ in 0..ANSWERS_MAX {
            if outbox.is_ignored() {
                break;
            }
            outbox.send_published(1, &head);
        }
        assert!(outbox.is_ignored());
        assert!(outbox.queue.lock().answers < ANSWERS_MAX + 1_000);
    }
}
