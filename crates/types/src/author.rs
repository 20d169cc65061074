//! Who changed something, as records keep it.

use serde::{Deserialize, Serialize};

use crate::KeyId;

/// The key that a change was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The key's id.
    pub key: KeyId,
    /// The key's name at that time.
    pub name: String,
}

/// Who moved an alias.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mover {
    /// The holder of this key.
    Key(Author),
    /// The policy of a canary.
    Canary,
    /// The platform, at the end of a preview's time.
    Platform,
}

// === impl Mover ===

impl Mover {
    /// The key's name, `canary` or `platform`.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Key(author) => &author.name,
            Self::Canary => "canary",
            Self::Platform => "platform",
        }
    }
}
