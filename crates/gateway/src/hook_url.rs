//! `/hooks/{token}`: where a webhook's deliveries go.

use axum::extract::Request;
use axum::response::Response;
use faas_ports::{Clock, SystemClock};
use faas_web::{RequestId, answer_delivery};

use crate::Gateway;

/// Every webhook's URL starts with it.
pub const HOOKS_PREFIX: &str = "/hooks/";

// === impl Gateway ===

impl Gateway {
    /// Answers a request whose path starts with [`HOOKS_PREFIX`].
    pub async fn deliver(&self, request: Request) -> Response {
        let id = RequestId::of(request.headers(), SystemClock.now());
        let token = request.uri().path().strip_prefix(HOOKS_PREFIX).unwrap_or_default().to_owned();
        answer_delivery(self.engine(), &token, request, self.tells_all(), &id).await
    }
}
