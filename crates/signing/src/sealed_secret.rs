//! Secrets of signatures as the registry keeps them.

use faas_types::Timestamp;
use serde::{Deserialize, Serialize};

/// A secret that signs messages, sealed by the vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret {
    /// Its number, from 1.
    pub number: u64,
    /// The secret's text, sealed and in base64.
    pub sealed: String,
    /// When it ends; a current one does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}
