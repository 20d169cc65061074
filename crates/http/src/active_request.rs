//! A request under way, from its head to the end of its response.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

use crate::connection_state::ConnectionState;

/// Counts a request as under way until it is dropped, also when the client goes away half-way.
pub(crate) struct ActiveRequest(Arc<ConnectionState>);

/// A body that keeps its request under way until it is sent or dropped.
pub(crate) struct GuardedBody {
    body: Body,
    _request: ActiveRequest,
}

// === impl ActiveRequest ===

impl ActiveRequest {
    pub(crate) fn begin(state: &Arc<ConnectionState>) -> Self {
        state.request_began();
        Self(Arc::clone(state))
    }

    pub(crate) fn connection(&self) -> &Arc<ConnectionState> {
        &self.0
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.request_ended();
    }
}

// === impl GuardedBody ===

impl GuardedBody {
    pub(crate) fn new(body: Body, request: ActiveRequest) -> Self {
        Self { body, _request: request }
    }
}

impl HttpBody for GuardedBody {
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
