//! Whose rule refuses an upload.

use serde::Serialize;

/// Whose rule it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleOwner {
    /// The server's operator.
    Operator,
    /// The project's admins.
    Project,
}

// === impl RuleOwner ===

impl RuleOwner {
    /// Where the rule holds.
    pub(crate) fn place(self) -> &'static str {
        match self {
            Self::Operator => "server",
            Self::Project => "project",
        }
    }

    /// Who can change it.
    pub(crate) fn person(self) -> &'static str {
        match self {
            Self::Operator => "the server's operator",
            Self::Project => "who holds an admin key of the project",
        }
    }
}
