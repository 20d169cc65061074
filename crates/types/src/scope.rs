//! What a key may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A permission that a key holds and a route demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Scope {
    /// Everything, keys included.
    #[serde(rename = "admin")]
    Admin,
    /// See functions, versions and settings.
    #[serde(rename = "functions:read")]
    FunctionsRead,
    /// Create, change, deploy, roll back and delete functions.
    #[serde(rename = "functions:write")]
    FunctionsWrite,
    /// Call functions.
    #[serde(rename = "invoke")]
    Invoke,
    /// See runs, logs and metrics of runs.
    #[serde(rename = "runs:read")]
    RunsRead,
    /// Read `/metrics`, and nothing else: for the key that a collector holds.
    #[serde(rename = "metrics:read")]
    MetricsRead,
}

/// Why a text is not a [`Scope`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a scope; scopes are admin, functions:read, functions:write, invoke, runs:read and metrics:read")]
pub struct InvalidScope(String);

// === impl Scope ===

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 6] =
        [Self::Admin, Self::FunctionsRead, Self::FunctionsWrite, Self::Invoke, Self::RunsRead, Self::MetricsRead];

    /// The scope as keys and documents write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::FunctionsRead => "functions:read",
            Self::FunctionsWrite => "functions:write",
            Self::Invoke => "invoke",
            Self::RunsRead => "runs:read",
            Self::MetricsRead => "metrics:read",
        }
    }

    /// Whether holding this scope satisfies a demand for `wanted`.
    #[must_use]
    pub fn grants(self, wanted: Self) -> bool {
        self == Self::Admin
            || self == wanted
            || (self == Self::FunctionsWrite && wanted == Self::FunctionsRead)
            || (self == Self::RunsRead && wanted == Self::MetricsRead)
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
