//! What becomes of a request's body that nobody has read, as when the request is refused.
//!
//! On HTTP/1.1 the next request stands behind it on the same connection. Left alone, the connection would be cut without
//! a word, and the client's next request, a good one perhaps, would fail.

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

/// A body up to this size is read and thrown away; a larger one costs more than a new connection.
const WORTH_READING: u64 = 64 << 10;
/// How long it may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where the rest of a body comes back to.
type Returned = Arc<Mutex<Option<Incoming>>>;

/// A body on loan: what is dropped unread comes back.
struct Loan {
    body: Option<Incoming>,
    returned: Returned,
}

/// The lender's side. Empty for requests without a body.
pub(crate) struct Unread(Option<Returned>);

// === impl Unread ===

impl Unread {
    /// Lends the request's body out. Free for requests that have none.
    pub(crate) fn lend(request: Request<Incoming>) -> (Request<Body>, Self) {
        if request.body().is_end_stream() || request.version() > Version::HTTP_11 {
            return (request.map(Body::new), Self(None));
        }
        let returned = Returned::default();
        let lender = Self(Some(Arc::clone(&returned)));
        (request.map(|body| Body::new(Loan { body: Some(body), returned })), lender)
    }

    /// Makes the connection fit for the next request, or says in the answer that there is none.
    pub(crate) async fn settle(self, mut response: Response) -> Response {
        let rest = self.0.and_then(|returned| returned.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(rest) = rest
            && !read_away(rest).await
        {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Whether the body came to its end, within its bounds.
async fn read_away(mut rest: Incoming) -> bool {
    if rest.size_hint().lower() > WORTH_READING {
        return false;
    }
    let reading = async {
        let mut left = WORTH_READING;
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
    tokio::time::timeout(PATIENCE, reading).await.unwrap_or(false)
}

// === impl Loan ===

impl HttpBody for Loan {
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

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.returned.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}
