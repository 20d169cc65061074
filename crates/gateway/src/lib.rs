//! Data plane: function URLs.

mod function_url;

pub use function_url::{ASYNC_PREFIX, Gateway, PREFIX};
