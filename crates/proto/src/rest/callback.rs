//! Callbacks.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the callbacks of a project are signed with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallbackSecretView {
    /// Which secret of the project the current one is, from 1; 0 before the first.
    pub number: u64,
    /// How many are live. Callbacks carry the signature of each.
    pub live: u32,
}

/// How to change the secret that callbacks are signed with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateCallbackSecret {
    /// How long the one before stays good, such as `24h`, which is the default; at most 30 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 40)]
    pub keep: Option<String>,
}

/// A fresh secret that callbacks are signed with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewCallbackSecret {
    /// The secret, in the form of Standard Webhooks; keep it, it is not shown again. `null` where an earlier request with the same
    /// `Idempotency-Key` made it.
    #[serde(default)]
    pub secret: Option<String>,
    /// Which secret of the project it is, from 1.
    pub number: u64,
    /// How many are live.
    pub live: u32,
}
