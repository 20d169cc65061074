//! What probably made a run fail.

use serde::{Deserialize, Serialize};

/// What probably made a run fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CauseClass {
    /// The function's own code.
    UserError,
    /// What the caller sent.
    BadInput,
    /// A package, library or runtime that is not there.
    DependencyMissing,
    /// It took too long.
    Timeout,
    /// It needed more memory than it has.
    Memory,
    /// It reached for a network that it does not have.
    NetworkDenied,
    /// It touched what the sandbox keeps from it.
    NotPermitted,
    /// Its disk is full.
    DiskFull,
    /// It started more processes or threads than it may.
    TooManyProcesses,
    /// Nothing was free to run it.
    Overload,
    /// Somebody ended it.
    Cancelled,
    /// The platform.
    Platform,
}

/// What is told of a failed run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// What probably made it fail.
    pub class: CauseClass,
    /// What happened, in one line.
    pub summary: String,
    /// The next step to take.
    pub advice: String,
}

// === impl CauseClass ===

impl CauseClass {
    /// The class in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserError => "user error",
            Self::BadInput => "bad input",
            Self::DependencyMissing => "dependency missing",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::NetworkDenied => "network denied",
            Self::NotPermitted => "not permitted",
            Self::DiskFull => "disk full",
            Self::TooManyProcesses => "too many processes",
            Self::Overload => "overload",
            Self::Cancelled => "cancelled",
            Self::Platform => "platform",
        }
    }
}
