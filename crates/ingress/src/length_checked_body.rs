//! A streamed body whose head may have announced its length.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use faas_types::Fault;
use futures_util::stream::{BoxStream, StreamExt};
use http_body::Body as HttpBody;
use http_body::Frame;

/// Breaks off where it is shorter or longer than was announced: an end that looks good would hide that something is missing.
/// Its size is not told as known, since a body that is known to the byte counts as being there already.
///
/// A connection drops it as soon as the announced length has gone out. The function may not have ended then: it works on, or
/// has yet to say that it is done. So what is left is waited for behind the answer, and the caller has not gone away.
pub(crate) struct LengthCheckedBody {
    chunks: BoxStream<'static, Result<Bytes, Fault>>,
    /// Bytes that are still to come, where the head said how many there are.
    left: Option<u64>,
    /// Why it breaks off, once what came before has gone out.
    broken: Option<io::Error>,
    /// Nothing comes any more.
    ended: bool,
}

// === impl LengthCheckedBody ===

impl LengthCheckedBody {
    pub(crate) fn new(chunks: BoxStream<'static, Result<Bytes, Fault>>, length: Option<u64>) -> Self {
        Self { chunks, left: length, broken: None, ended: false }
    }

    fn take(&mut self, chunk: Bytes) -> io::Result<Bytes> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(chunk.len() as u64).ok_or_else(|| wrong("more"))?;
        }
        Ok(chunk)
    }
}

fn wrong(how: &str) -> io::Error {
    io::Error::other(format!("the function sent {how} than its Content-Length"))
}

impl HttpBody for LengthCheckedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let next = std::task::ready!(self.chunks.poll_next_unpin(cx));
        self.ended = !matches!(next, Some(Ok(_)));
        let broken = match next {
            Some(Ok(chunk)) => match self.take(chunk) {
                Ok(chunk) => return Poll::Ready(Some(Ok(Frame::data(chunk)))),
                Err(error) => error,
            },
            Some(Err(fault)) => io::Error::other(fault),
            None if self.left.is_some_and(|left| left > 0) => wrong("less"),
            None => return Poll::Ready(None),
        };
        // An error at once would take the head and the chunks along that the connection has not sent yet.
        self.broken = Some(broken);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for LengthCheckedBody {
    fn drop(&mut self) {
        if self.left != Some(0) || self.ended {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut rest = std::mem::replace(&mut self.chunks, futures_util::stream::empty().boxed());
        // Ends with the run, which has a timeout. Bytes beyond the length have no reader.
        runtime.spawn(async move { while let Some(Ok(_)) = rest.next().await {} });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt;

    use super::*;

    async fn collected(chunks: &[&'static str], length: Option<u64>) -> Result<Bytes, String> {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk.as_bytes()))).collect();
        let body = LengthCheckedBody::new(stream::iter(chunks).boxed(), length);
        body.collect().await.map(http_body_util::Collected::to_bytes).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_body_keeps_to_what_its_head_said() {
        assert_eq!(collected(&["ab", "c"], None).await, Ok(Bytes::from_static(b"abc")));
        assert_eq!(collected(&["ab", "c"], Some(3)).await, Ok(Bytes::from_static(b"abc")));
        assert!(collected(&["ab"], Some(3)).await.is_err_and(|error| error.contains("less")));
        assert!(collected(&["ab", "cd"], Some(3)).await.is_err_and(|error| error.contains("more")));
    }

    #[tokio::test]
    async fn a_function_that_works_on_after_its_length_is_waited_for() {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
        let chunks =
            stream::unfold(receiver, |mut receiver| async move { Some((Ok(receiver.recv().await?), receiver)) });
        let mut body = LengthCheckedBody::new(chunks.boxed(), Some(2));
        sender.send(Bytes::from_static(b"ok")).await.expect("room");
        assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
        drop(body);
        sender.send(Bytes::from_static(b"more")).await.expect("still read");
        sender.send(Bytes::from_static(b"more")).await.expect("still read");
    }

    #[tokio::test]
    async fn a_caller_who_goes_away_before_the_length_is_seen() {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
        let chunks =
            stream::unfold(receiver, |mut receiver| async move { Some((Ok(receiver.recv().await?), receiver)) });
        drop(LengthCheckedBody::new(chunks.boxed(), Some(2)));
        assert!(sender.is_closed());
    }
}
