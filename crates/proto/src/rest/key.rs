//! API keys. A key's text is shown once, when it is made.

use faas_types::Scope;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ListPage;
use super::merge_patch::given;

/// A key without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The first characters of its text, to tell keys apart.
    pub prefix: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The functions that it is restricted to, by name or id; empty for a key of all.
    pub functions: Vec<String>,
    /// When it was made.
    pub created_at: String,
    /// When it ends by itself.
    pub expires_at: Option<String>,
    /// When it was last used, to a minute.
    pub last_used_at: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<String>,
}

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallerView {
    /// The project that the key belongs to.
    pub project: String,
    /// The key.
    pub key: KeyView,
}

/// A key to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// What people call it, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    pub name: String,
    /// What it may do.
    #[schema(min_items = 1)]
    pub scopes: Vec<Scope>,
    /// When it ends by itself, such as `2027-01-31T00:00:00Z`. Never where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The functions that it is restricted to, by name or id. A name also means functions that do not exist yet. All where absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100)]
    pub functions: Vec<String>,
}

/// What to change of a key (RFC 7396): what is absent stays, `null` takes a limit away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateKey {
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64)]
    pub name: Option<String>,
    /// What it may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1)]
    pub scopes: Option<Vec<Scope>>,
    /// When it ends by itself; `null` for never.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub expires_at: Option<Option<String>>,
    /// The functions that it is restricted to; `null` or an empty list for all.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>, max_items = 100)]
    pub functions: Option<Option<Vec<String>>>,
}

/// A fresh key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedKey {
    /// The key's text; keep it, it is not shown again. `null` where an earlier request with the same `Idempotency-Key` made the key.
    #[serde(default)]
    pub key: Option<String>,
    /// The rest.
    #[serde(flatten)]
    pub view: KeyView,
}

/// Keys, newest first.
pub type KeyList = ListPage<KeyView>;
