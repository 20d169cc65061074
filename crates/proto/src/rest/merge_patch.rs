//! Fields of bodies that change a resource as RFC 7396 has it: absent keeps, `null` resets.

use serde::{Deserialize, Deserializer};

/// Reads a field that is there: `null` too, which a plain `Option` would take for an absent one.
pub(super) fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
