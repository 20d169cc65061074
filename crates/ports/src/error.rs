//! How a port fails.

use faas_types::{Code, Fault, Reason};

use crate::Key;

/// Seconds after which a caller may try again: room may have been made.
const STORAGE_RETRY_S: u32 = 10;

/// The result of a port's call.
pub type PortResult<T> = Result<T, PortError>;

/// Why a port's call did nothing. A call that fails has changed nothing, unless [`PortError::is_in_doubt`].
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Another writer was first: the key is not at the expected revision.
    #[error("{} `{}` changed meanwhile", key.collection.as_str(), key.name)]
    Conflict {
        /// The key whose expectation failed.
        key: Key,
    },
    /// It is there already, and this call makes only new ones.
    #[error("{what} exists already")]
    Exists {
        /// What is there.
        what: String,
    },
    /// Nothing of that name.
    #[error("{what} not found")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// The lease has ended or another worker holds a newer one.
    #[error("the lease is no longer held")]
    LeaseLost,
    /// A bound was reached; try again later.
    #[error("{what} is full")]
    Full {
        /// What is full.
        what: String,
    },
    /// The disk is full or below its low-water mark.
    #[error("the disk of the data directory is full")]
    StorageFull,
    /// Stored bytes do not match their digest or cannot be decoded.
    #[error("{what} is corrupt")]
    Corrupt {
        /// What is corrupt.
        what: String,
    },
    /// The content is not what its name says, or a path leaves its tree.
    #[error("{0}")]
    Invalid(String),
    /// This machine cannot confine as strongly as demanded.
    #[error("{0}")]
    Isolation(String),
    /// The port is closed or stopping.
    #[error("the {0} is stopping")]
    Closed(&'static str),
    /// Anything else, with its cause.
    #[error("{context}: {source}")]
    Failed {
        /// What was being done.
        context: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

// === impl PortError ===

impl PortError {
    /// Wraps a cause with what was being done.
    pub fn failed(context: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed { context, source: source.into() }
    }

    /// Whether what was asked may have been done all the same: its commit, or the answer, was cut short. What the call
    /// would refer to has to stay then.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Closed(_) | Self::Corrupt { .. } | Self::Failed { .. })
    }

    /// Wraps an I/O error, telling a full disk apart.
    #[must_use]
    pub fn io(context: &'static str, source: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match source.kind() {
            StorageFull | QuotaExceeded => Self::StorageFull,
            _ => Self::failed(context, source),
        }
    }
}

impl From<PortError> for Fault {
    fn from(error: PortError) -> Self {
        let message = error.to_string();
        match error {
            PortError::Conflict { .. } | PortError::LeaseLost => Self::new(Reason::ChangedMeanwhile, message),
            PortError::Exists { .. } => Self::new(Reason::NameTaken, message),
            PortError::NotFound { .. } => Self::new(Code::NotFound, message),
            PortError::Full { .. } => Self::new(Code::Overloaded, message).with_retry_after(1),
            PortError::StorageFull => Self::new(Code::StorageFull, message)
                .with_hint("free space on the disk that holds the data directory; reads and deletes still work")
                .with_retry_after(STORAGE_RETRY_S),
            PortError::Invalid(_) => Self::new(Code::InvalidConfiguration, message),
            PortError::Isolation(_) => {
                Self::new(Code::IsolationUnavailable, message).with_command_hint("run `faas doctor`")
            }
            PortError::Closed(_) => Self::new(Code::Unavailable, message).with_retry_after(1),
            PortError::Corrupt { .. } | PortError::Failed { .. } => Self::internal(message),
        }
    }
}
