//! Who changed something.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The key that a change was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuthorView {
    /// The key's id.
    pub key: String,
    /// The key's name at that time.
    pub name: String,
}
