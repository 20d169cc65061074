//! A client's socket that notes in the [`ConnectionState`] what is read and written.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use faas_web::ConnectionEnd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::connection_state::ConnectionState;
use crate::http1_framing::Http1Framing;
use crate::http2_frames::Http2Frames;

/// How long a call goes on after its client has closed its side. Some clients close it as soon as they have sent the request,
/// and read the response; a client that went away looks the same until it refuses what it is sent.
const HALF_CLOSED: Duration = Duration::from_secs(1);

/// A socket whose traffic is followed.
pub(crate) struct TrackedIo {
    stream: TcpStream,
    state: Arc<ConnectionState>,
    protocol: Protocol,
    /// Whether a response has been written in part.
    is_writing: bool,
    /// Whether the client closed its side while it was still owed a response.
    is_half_closed: bool,
    /// Until when the end of its input is held back.
    held_back: Option<Pin<Box<Sleep>>>,
}

/// The parser that follows the bytes.
enum Protocol {
    Http1(Http1Framing),
    Http2(Box<Http2Frames>),
}

// === impl TrackedIo ===

impl TrackedIo {
    /// `clients` is the number of clients that the peer speaks for.
    pub(crate) fn new(stream: TcpStream, state: Arc<ConnectionState>, clients: u32) -> Self {
        let protocol = match state.is_http2() {
            true => Protocol::Http2(Box::new(Http2Frames::new(clients))),
            false => Protocol::Http1(Http1Framing::default()),
        };
        Self { stream, state, protocol, is_writing: false, is_half_closed: false, held_back: None }
    }

    /// Bytes came from the client.
    fn received(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.state.received();
        let frames = match &mut self.protocol {
            Protocol::Http2(frames) => frames,
            Protocol::Http1(framing) => {
                framing.follow(bytes);
                return Ok(());
            }
        };
        if frames.received(bytes, || self.state.now()) {
            return Ok(());
        }
        if let Some(goodbye) = frames.goodbye() {
            // A client that does not read misses the reason.
            let _ = self.stream.try_write(&goodbye);
        }
        self.state.end(ConnectionEnd::Flood);
        Err(io::Error::other("more frames than its requests and answers need"))
    }

    /// Whether the client, which has closed its side, still gets a response.
    fn is_responding(&self) -> bool {
        matches!(&self.protocol, Protocol::Http1(framing) if framing.is_between())
            && (self.is_writing || self.state.is_busy())
    }

    /// Reports the end of the input once that no longer breaks off a response.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_responding() {
            return Poll::Ready(Ok(()));
        }
        self.is_half_closed = true;
        let held_back = self.held_back.get_or_insert_with(|| Box::pin(tokio::time::sleep(HALF_CLOSED)));
        held_back.as_mut().poll(cx).map(Ok)
    }

    fn note(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(count)) => {
                self.state.sent(*count);
                self.is_writing = true;
                // One that has gone away refuses it.
                self.held_back = None;
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.state.send_blocked(),
        }
        written
    }
}

impl AsyncRead for TrackedIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            return Poll::Ready(self.received(&mut buf.filled_mut()[before..]));
        }
        if buf.remaining() == 0 { Poll::Ready(Ok(())) } else { self.poll_end(cx) }
    }
}

impl AsyncWrite for TrackedIo {
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
        self.state.send_caught_up();
        if std::mem::take(&mut self.is_writing) && self.is_half_closed {
            // Read again: the connection ends, or waits for the next part of the response.
            cx.waker().wake_by_ref();
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
