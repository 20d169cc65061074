//! Runs: calls, background runs, their retries, history and callbacks.
//!
//! [`Runs`] takes a call or an accepted run to its end. What it asks of the services above it (publications, the triggers
//! that caused a run) are the traits [`Publisher`](hooks::Publisher) and [`RunSource`](hooks::RunSource).

pub mod accept;
pub mod admission;
pub mod attempt_outcome;
mod background;
pub mod backlog_entry;
pub mod batch;
pub mod body_budget;
pub mod call;
pub mod callback_policy;
pub mod completion;
pub mod completion_metrics;
pub mod dispatch;
pub mod failure_line;
pub mod hooks;
pub mod idempotency;
pub mod input;
mod instance_refresh;
pub mod invocation;
pub mod lifecycle;
pub mod limit_classification;
mod outbox;
pub mod payload;
pub mod quotas;
pub mod replay;
pub mod reply;
pub mod request;
pub mod response_stream;
pub mod retention;
pub mod retention_metrics;
pub mod retry;
pub mod route;
mod routing;
pub mod run_guard;
pub mod runs;
pub mod stored_body;
pub mod stored_reply;
mod tasks;
pub mod write_claim;

pub use accept::{Accepted, RunOptions};
pub use attempt_outcome::AttemptOutcome;
pub use body_budget::{BodyBudget, BodyOwner, Reservation};
pub use callback_policy::CallbackPolicy;
pub use completion::SigningSecrets;
pub use completion_metrics::CompletionMetrics;
pub use idempotency::{CallClaim, ClaimHolder, KeyClaim};
pub use input::RunInput;
pub use payload::{HttpRequest, Payload};
pub use quotas::Quotas;
pub use replay::{DeadSelection, Redriven, Replay};
pub use reply::{Call, CallBody, CallFailure};
pub use request::CallRequest;
pub use retention_metrics::RetentionMetrics;
pub use route::{Route, Selector};
pub use runs::Runs;
pub use stored_reply::StoredReply;
pub use write_claim::{NamedWrite, WriteClaim, WriteId};
