//! Who did something.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who did something, as it was then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActorView {
    /// `key` for the holder of an API key, `policy` for what a rollout's policy did by itself, `platform` for what the end of a
    /// preview's time did. More may come.
    #[serde(rename = "type")]
    #[schema(example = "key")]
    pub kind: String,
    /// The key's id; `null` where no key was used.
    #[schema(required = true, example = "key_01JD2Z7Y5T0000000000000000")]
    pub id: Option<String>,
    /// What people called it then.
    #[schema(example = "admin")]
    pub name: String,
}
