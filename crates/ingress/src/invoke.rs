//! Chooses how a call is served: at once, once per idempotency key, or as a background run.

use axum::response::Response;
use faas_engine::Engine;
use faas_web::{IDEMPOTENCY_KEY, Inbound, RequestId};

use crate::background::accept_call;
use crate::call::answer_call;
use crate::idempotency::answer_once;
use crate::target::CallTarget;

/// Answers a call: as a background run if `later`, otherwise with the function's reply, which repeats for requests with the same
/// `Idempotency-Key`.
pub async fn serve_call(
    engine: &Engine,
    target: CallTarget,
    inbound: Box<Inbound>,
    id: &RequestId,
    later: bool,
) -> Response {
    // Only a plain call is not boxed: its future is moved several times, and would be as large as the largest of the three.
    if later {
        Box::pin(accept_call(engine, target, *inbound, id)).await
    } else if inbound.head.headers.contains_key(IDEMPOTENCY_KEY) {
        Box::pin(answer_once(engine, target, inbound, id)).await
    } else {
        answer_call(engine, target, inbound, id).await
    }
}
