//! The operator's rules for uploads.

use faas_types::PreflightRules;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What uploads are refused for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PreflightSection {
    /// Whether files are searched for secrets.
    pub secrets: bool,
    /// Files that are not taken: patterns as in `.gitignore`.
    pub blocked_files: Vec<String>,
    /// Text that is not taken: regular expressions.
    #[schemars(extend("x-file-only" = true))]
    pub blocked_text: Vec<String>,
    /// Modules that no function may import, as far as its source says so.
    pub blocked_imports: Vec<String>,
}

// === impl PreflightSection ===

impl PreflightSection {
    /// As the rules of the operator.
    #[must_use]
    pub fn rules(&self) -> PreflightRules {
        let Self { secrets, blocked_files, blocked_text, blocked_imports } = self.clone();
        PreflightRules { secrets, blocked_files, blocked_text, blocked_imports, allow_secrets: Vec::new() }
    }
}

impl Default for PreflightSection {
    fn default() -> Self {
        Self { secrets: true, blocked_files: Vec::new(), blocked_text: Vec::new(), blocked_imports: Vec::new() }
    }
}
