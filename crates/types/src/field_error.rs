//! One field of a request that is wrong.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A field of a request's body that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Where it is in the body, as a JSON pointer (RFC 6901) such as `/manifest/scaling/max`; empty for the whole.
    pub pointer: String,
    /// What it breaks.
    pub rule: FieldRule,
    /// What is wrong and how to mend it.
    pub message: String,
    /// What was given, where it is short and cannot be a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// What a field breaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldRule {
    /// There is no such field.
    Unknown,
    /// It has to be there.
    Required,
    /// It has another type.
    Type,
    /// It is not one of the words that it takes.
    OneOf,
    /// It is below or above its bounds.
    Range,
    /// Its value cannot be used, as the message says.
    #[default]
    Invalid,
}

// === impl FieldError ===

impl FieldError {
    /// The pointer to a key as manifests and messages write it, such as `triggers[0].schedule`, below `base`.
    #[must_use]
    pub fn pointer(base: &str, key: &str) -> String {
        let mut pointer = base.to_owned();
        for part in key.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
            pointer.push('/');
            pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
        }
        pointer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_pointers() {
        for (key, pointer) in [
            ("", "/manifest"),
            ("scaling.max", "/manifest/scaling/max"),
            ("triggers[1].schedule", "/manifest/triggers/1/schedule"),
            ("vars.A/B~", "/manifest/vars/A~1B~0"),
        ] {
            assert_eq!(FieldError::pointer("/manifest", key), pointer);
        }
    }
}
