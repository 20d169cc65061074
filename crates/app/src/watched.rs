//! A client's socket, and an answer's body, that tell their connection's [`Talk`] what happens on them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::framing::Framing;
use crate::talk::Talk;

/// A socket under watch.
pub(crate) struct Watched {
    stream: TcpStream,
    talk: Arc<Talk>,
    /// Of HTTP/1.1; HTTP/2 has frames.
    framing: Option<Framing>,
}

/// A body that keeps its request under way until it is sent or dropped.
pub(crate) struct Held {
    body: Body,
    talk: Arc<Talk>,
}

// === impl Watched ===

impl Watched {
    pub(crate) fn new(stream: TcpStream, talk: Arc<Talk>) -> Self {
        let framing = (!talk.is_http2()).then(Framing::default);
        Self { stream, talk, framing }
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(count)) => self.talk.sent(*count),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.talk.send_blocked(),
        }
        written
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            if let Some(framing) = &mut self.framing {
                framing.follow(&mut buf.filled_mut()[before..]);
            }
            self.talk.received();
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called when everything that was to be written has been.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.talk.send_caught_up();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

// === impl Held ===

impl Held {
    pub(crate) fn new(body: Body, talk: Arc<Talk>) -> Self {
        Self { body, talk }
    }

    /// The same request with this body.
    pub(crate) fn with(mut self, body: Body) -> Self {
        self.body = body;
        self
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

impl Drop for Held {
    fn drop(&mut self) {
        self.talk.request_ended();
    }
}
