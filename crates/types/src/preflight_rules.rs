//! What uploads are refused for, besides what the platform itself refuses.

use serde::{Deserialize, Serialize};

use crate::{Author, Timestamp};

/// Rules of a server's operator, or of a project on top of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PreflightRules {
    /// Whether files are searched for secrets. What an operator wants searched is searched in any case.
    pub secrets: bool,
    /// Files that are not taken: patterns as in `.gitignore`.
    #[schema(max_items = 100)]
    pub blocked_files: Vec<String>,
    /// Text that is not taken: regular expressions.
    #[schema(max_items = 100)]
    pub blocked_text: Vec<String>,
    /// Modules that no function may import, as far as its source says so.
    #[schema(max_items = 100)]
    pub blocked_imports: Vec<String>,
    /// What looks like a secret in any function and is none, as in `preflight.allow_secrets` of a manifest.
    #[schema(max_items = 100)]
    pub allow_secrets: Vec<String>,
}

/// The rules of a project, as the registry keeps them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectRules {
    /// The rules.
    pub rules: PreflightRules,
    /// Whose key set them.
    pub author: Author,
    /// When.
    pub set_at: Timestamp,
}
