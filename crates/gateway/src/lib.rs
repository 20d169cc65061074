//! Data plane: function URLs.

mod function_url;

pub use function_url::{Gateway, PREFIX};
