//! Drains the body of a request that was answered without reading it, for instance because it was refused.
//!
//! On HTTP/1.1 the next request follows the body on the same connection. With the body left there the connection would be cut,
//! and the client's next request would fail.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Version};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};

/// A body up to this size is drained; a larger one costs more than a new connection.
const DRAIN_MAX: u64 = 64 << 10;
/// How long it may take.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// Where a body that was not read to its end is returned to.
type ReturnSlot = Arc<Mutex<Option<Incoming>>>;

/// A body lent to a handler; when dropped unread, it is returned.
struct LentBody {
    body: Option<Incoming>,
    returned: ReturnSlot,
}

/// The lender's side. Empty for requests without a body and for HTTP/2.
pub(crate) struct UnreadBody(Option<ReturnSlot>);

// === impl UnreadBody ===

impl UnreadBody {
    /// Lends the request's body out. Free for requests that have none.
    pub(crate) fn lend(request: Request<Incoming>) -> (Request<Body>, Self) {
        if request.body().is_end_stream() || request.version() > Version::HTTP_11 {
            return (request.map(Body::new), Self(None));
        }
        let returned = ReturnSlot::default();
        let lender = Self(Some(Arc::clone(&returned)));
        (request.map(|body| Body::new(LentBody { body: Some(body), returned })), lender)
    }

    /// Makes the connection ready for the next request, or announces in the response that it closes.
    pub(crate) async fn settle(self, mut response: Response) -> Response {
        let rest = self.0.and_then(|returned| returned.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(rest) = rest
            && !drain(rest).await
        {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Whether the body came to its end, within its bounds.
async fn drain(mut rest: Incoming) -> bool {
    if rest.size_hint().lower() > DRAIN_MAX {
        return false;
    }
    let reading = async {
        let mut left = DRAIN_MAX;
        loop {
            match rest.frame().await {
                None => return true,
                Some(Err(_)) => return false,
                Some(Ok(frame)) => match left.checked_sub(frame.data_ref().map_or(0, Bytes::len) as u64) {
                    Some(less) => left = less,
                    None => return false,
                },
            }
        }
    };
    tokio::time::timeout(DRAIN_TIMEOUT, reading).await.unwrap_or(false)
}

// === impl LentBody ===

impl HttpBody for LentBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.body.as_mut() {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for LentBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.returned.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}
