//! Data plane: function URLs and webhooks.

mod function_url;
mod hook_url;

pub use function_url::{ASYNC_PREFIX, Audience, Gateway, PREFIX};
pub use hook_url::HOOKS_PREFIX;
