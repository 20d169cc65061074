//! Runs: calls, background runs, their retries, history and callbacks.
//!
//! [`Runs`] takes a call or an accepted run to its end. What it asks of the services above it (publications, the triggers
//! that caused a run) are the traits [`Publisher`](hooks::Publisher) and [`RunSource`](hooks::RunSource).

pub mod accept;
pub mod admission;
pub mod batch;
pub mod body_budget;
pub mod call;
pub mod completion;
pub mod content_length;
pub mod dispatch;
pub mod failure_line;
pub mod hooks;
pub mod idempotency;
mod instance_refresh;
pub mod invocation;
pub mod lifecycle;
pub mod limit_classification;
pub mod quotas;
pub mod replay;
pub mod reply;
pub mod reply_head;
pub mod response_stream;
pub mod retention;
pub mod retry;
pub mod run_guard;
pub mod runs;
pub mod stored_reply;

pub use accept::{Accepted, RunOptions};
pub use body_budget::{BodyBudget, BodyOwner, Reservation};
pub use call::{CallRequest, Route, Selector};
pub use completion::{CallbackPolicy, CompletionMetrics, SigningSecrets};
pub use dispatch::input::RunInput;
pub use idempotency::{CallClaim, ClaimHolder, KeyClaim};
pub use quotas::Quotas;
pub use replay::{DeadSelection, Redriven, Replay};
pub use reply::{Call, CallBody, CallFailure};
pub use retention::RetentionMetrics;
pub use runs::Runs;
pub use stored_reply::StoredReply;
