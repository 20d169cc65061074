//! What a key may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A permission that a key holds and a route demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Scope {
    /// Everything, the server's own settings included.
    #[serde(rename = "admin")]
    Admin,
    /// Everything of a project, its keys and settings included.
    #[serde(rename = "project:admin")]
    ProjectAdmin,
    /// See functions, versions and settings.
    #[serde(rename = "functions:read")]
    FunctionsRead,
    /// Create, change, deploy, roll back and delete functions, their vars and triggers.
    #[serde(rename = "functions:write")]
    FunctionsWrite,
    /// Ship code: upload, deploy, roll back, move aliases and rollouts. What a pipeline needs.
    #[serde(rename = "deploy")]
    Deploy,
    /// Set, restore and remove secrets.
    #[serde(rename = "secrets:write")]
    SecretsWrite,
    /// Call functions, publish events and send messages.
    #[serde(rename = "invoke")]
    Invoke,
    /// See runs, logs and metrics of runs.
    #[serde(rename = "runs:read")]
    RunsRead,
    /// Cancel, replay, redrive and purge runs.
    #[serde(rename = "runs:write")]
    RunsWrite,
    /// Read `/metrics`, and nothing else: for the key that a collector holds.
    #[serde(rename = "metrics:read")]
    MetricsRead,
}

/// Why a text is not a [`Scope`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a scope; scopes are {names}", names = Scope::ALL.map(Scope::as_str).join(", "))]
pub struct InvalidScope(String);

// === impl Scope ===

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 10] = [
        Self::Admin,
        Self::ProjectAdmin,
        Self::FunctionsRead,
        Self::FunctionsWrite,
        Self::Deploy,
        Self::SecretsWrite,
        Self::Invoke,
        Self::RunsRead,
        Self::RunsWrite,
        Self::MetricsRead,
    ];

    /// The scope as keys and documents write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::ProjectAdmin => "project:admin",
            Self::FunctionsRead => "functions:read",
            Self::FunctionsWrite => "functions:write",
            Self::Deploy => "deploy",
            Self::SecretsWrite => "secrets:write",
            Self::Invoke => "invoke",
            Self::RunsRead => "runs:read",
            Self::RunsWrite => "runs:write",
            Self::MetricsRead => "metrics:read",
        }
    }

    /// Whether holding this scope satisfies a demand for `wanted`.
    #[must_use]
    pub fn grants(self, wanted: Self) -> bool {
        match self {
            Self::Admin => true,
            Self::ProjectAdmin => wanted != Self::Admin,
            // Who ships has to see what becomes of it.
            Self::FunctionsWrite => matches!(wanted, Self::FunctionsWrite | Self::FunctionsRead | Self::Deploy),
            Self::Deploy => matches!(wanted, Self::Deploy | Self::FunctionsRead),
            Self::RunsWrite => matches!(wanted, Self::RunsWrite | Self::RunsRead | Self::MetricsRead),
            Self::RunsRead => matches!(wanted, Self::RunsRead | Self::MetricsRead),
            Self::FunctionsRead | Self::SecretsWrite | Self::Invoke | Self::MetricsRead => self == wanted,
        }
    }

    /// What it lets a key do, in a few words.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Admin => "everything, also the server's own settings",
            Self::ProjectAdmin => "everything of the project, its keys and settings too",
            Self::FunctionsRead => "see functions, versions, vars and settings",
            Self::FunctionsWrite => "create, change, deploy and delete functions; includes functions:read and deploy",
            Self::Deploy => "upload, deploy, roll back, move aliases; includes functions:read",
            Self::SecretsWrite => "set, restore and remove secrets",
            Self::Invoke => "call functions, publish events, send messages",
            Self::RunsRead => "see runs, logs and metrics",
            Self::RunsWrite => "cancel, replay, redrive and purge runs; includes runs:read",
            Self::MetricsRead => "read /metrics",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| InvalidScope(text.chars().take(64).collect()))
    }
}
