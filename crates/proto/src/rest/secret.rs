//! Secrets of a project's stages: written, never read.

use std::fmt;

use faas_types::Stage;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ListPage;
use zeroize::Zeroizing;

/// What is told of a secret; its value never comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretView {
    /// Its name.
    pub name: String,
    /// The stage that has it; others see it where they have none of that name.
    pub stage: Stage,
    /// The number of its newest value, which counts.
    pub version: u64,
    /// The values that are kept, the newest first.
    pub versions: Vec<SecretVersionView>,
    /// When it was first set.
    pub created_at: String,
    /// When its newest value was set.
    pub updated_at: String,
    /// The functions that refer to it, by name, 100 at the most; absent in the answer to a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100)]
    pub used_by: Option<Vec<String>>,
}

/// What is told of one value of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretVersionView {
    /// Its number, from 1.
    pub version: u64,
    /// When it was set.
    pub created_at: String,
    /// The earlier version whose value it has, where it was restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<u64>,
}

/// The secrets that a stage sees.
pub type SecretList = ListPage<SecretView>;

/// A value for a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSecret {
    /// Text without NUL, 1 to 32,768 bytes.
    #[schema(value_type = String, format = Password, write_only, min_length = 1, max_length = 32768)]
    pub value: Zeroizing<String>,
}

/// Which earlier value a secret gets again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreSecret {
    /// The number of a version that is kept.
    #[schema(minimum = 1)]
    pub version: u64,
}

/// What a change of the encryption key has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EncryptionKeyReport {
    /// Values sealed anew: of secrets, webhooks and callbacks.
    pub resealed: u64,
    /// Records with a value that does not open under any key; they stay as they are.
    pub unreadable: Vec<String>,
}

impl fmt::Debug for SetSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SetSecret(…)")
    }
}
