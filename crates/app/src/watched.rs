//! A client's socket, and an answer's body, that tell their connection's [`Talk`] what happens on them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use faas_web::ConnectionEnd;
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::frames::Frames;
use crate::framing::Framing;
use crate::talk::Talk;

/// How long a call goes on whose client sends nothing any more. Some close their side as soon as they have asked, and read the
/// answer; it looks the same when they have gone away, until they refuse what they are sent.
const HALF_CLOSED: Duration = Duration::from_secs(1);

/// A socket under watch.
pub(crate) struct Watched {
    stream: TcpStream,
    talk: Arc<Talk>,
    protocol: Protocol,
    /// Whether something of an answer has been written that is not all there is.
    is_writing: bool,
    /// Whether the client has closed its side while it was owed an answer.
    is_half_closed: bool,
    /// Until when that is held back.
    held_back: Option<Pin<Box<Sleep>>>,
}

/// What the bytes are read along for.
enum Protocol {
    Http1(Framing),
    Http2(Box<Frames>),
}

/// A request under way, until this is dropped: also where the client goes away half-way.
pub(crate) struct UnderWay(Arc<Talk>);

/// A body that keeps its request under way until it is sent or dropped.
pub(crate) struct Held {
    body: Body,
    _under_way: UnderWay,
}

// === impl Watched ===

impl Watched {
    /// `clients` is for how many the other end speaks.
    pub(crate) fn new(stream: TcpStream, talk: Arc<Talk>, clients: u32) -> Self {
        let protocol = match talk.is_http2() {
            true => Protocol::Http2(Box::new(Frames::new(clients))),
            false => Protocol::Http1(Framing::default()),
        };
        Self { stream, talk, protocol, is_writing: false, is_half_closed: false, held_back: None }
    }

    /// Bytes came from the client.
    fn received(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.talk.received();
        let frames = match &mut self.protocol {
            Protocol::Http2(frames) => frames,
            Protocol::Http1(framing) => {
                framing.follow(bytes);
                return Ok(());
            }
        };
        if frames.received(bytes, || self.talk.now()) {
            return Ok(());
        }
        if let Some(goodbye) = frames.goodbye() {
            // One that takes nothing misses the reason.
            let _ = self.stream.try_write(&goodbye);
        }
        self.talk.end(ConnectionEnd::Flood);
        Err(io::Error::other("more frames than its requests and answers need"))
    }

    /// Whether the client, which has closed its side, still gets an answer.
    fn is_answering(&self) -> bool {
        matches!(&self.protocol, Protocol::Http1(framing) if framing.is_between())
            && (self.is_writing || self.talk.is_busy())
    }

    /// The end of what the client sends, once it may be told: it would break off the answer.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_answering() {
            return Poll::Ready(Ok(()));
        }
        self.is_half_closed = true;
        let held_back = self.held_back.get_or_insert_with(|| Box::pin(tokio::time::sleep(HALF_CLOSED)));
        held_back.as_mut().poll(cx).map(Ok)
    }

    fn note(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(count)) => {
                self.talk.sent(*count);
                self.is_writing = true;
                // One that has gone away refuses it.
                self.held_back = None;
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.talk.send_blocked(),
        }
        written
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            return Poll::Ready(self.received(&mut buf.filled_mut()[before..]));
        }
        if buf.remaining() == 0 { Poll::Ready(Ok(())) } else { self.poll_end(cx) }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let (Protocol::Http2(frames), Poll::Ready(Ok(count))) = (&mut self.protocol, &written) {
            frames.sent(&bytes[..*count]);
        }
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        if let (Protocol::Http2(frames), Poll::Ready(Ok(count))) = (&mut self.protocol, &written) {
            let mut left = *count;
            for slice in slices {
                let part = left.min(slice.len());
                frames.sent(&slice[..part]);
                left -= part;
            }
        }
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called when everything that was to be written has been.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.talk.send_caught_up();
        if std::mem::take(&mut self.is_writing) && self.is_half_closed {
            // So that it is read again: the connection ends, or waits for the next part of the answer.
            cx.waker().wake_by_ref();
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

// === impl Held ===

impl Held {
    pub(crate) fn new(body: Body, under_way: UnderWay) -> Self {
        Self { body, _under_way: under_way }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl UnderWay ===

impl UnderWay {
    pub(crate) fn begin(talk: &Arc<Talk>) -> Self {
        talk.request_began();
        Self(Arc::clone(talk))
    }

    pub(crate) fn talk(&self) -> &Arc<Talk> {
        &self.0
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.request_ended();
    }
}
