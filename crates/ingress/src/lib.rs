//! Data plane: function URLs, webhooks, background runs, idempotency keys and the response cache.
//!
//! The control plane calls functions through this crate too; nothing here depends on the control plane.

mod background;
mod cache;
mod call;
mod call_body;
mod cors;
mod failure_detail;
mod function_url;
mod http_triggers;
mod idempotency;
mod invoke;
mod length_checked_body;
mod reply;
mod request_headers;
mod run_headers;
mod run_options;
mod server_timing;
mod sticky;
mod target;
mod webhook_url;

pub use cache::ResponseCache;
pub use function_url::{ASYNC_PREFIX, Audience, Ingress, PREFIX};
pub use invoke::serve_call;
pub use run_options::{preferred_wait, prefers_async};
pub use sticky::sticky_key;
pub use target::CallTarget;
pub use webhook_url::HOOKS_PREFIX;
