//! What a failed SQLite call means for the command, for the commit and for the server.

use faas_ports::PortError;
use rusqlite::ErrorCode;
use rusqlite::ffi;

/// The result of work inside a transaction.
pub(crate) type WorkResult<T> = Result<T, WorkError>;

/// Why work inside a transaction failed.
#[derive(Debug)]
pub(crate) enum WorkError {
    /// The work refused by itself.
    Refused(PortError),
    /// SQLite failed.
    Sql(rusqlite::Error),
}

/// How bad a failed SQLite call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// Only what was asked fails.
    Command,
    /// The disk is full.
    Full,
    /// What the disk holds is no longer known: after a failed fsync a later one may succeed without the lost pages.
    Fatal,
}

// === impl WorkError ===

impl WorkError {
    /// What the caller gets.
    pub(crate) fn into_port(self, context: &'static str) -> PortError {
        match self {
            Self::Refused(error) => error,
            Self::Sql(error) => match (Severity::of(&error), error.sqlite_error_code()) {
                (Severity::Full, _) => PortError::StorageFull,
                (_, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) => {
                    PortError::Corrupt { what: format!("the database ({error})") }
                }
                _ => PortError::failed(context, error),
            },
        }
    }
}

impl From<rusqlite::Error> for WorkError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<PortError> for WorkError {
    fn from(error: PortError) -> Self {
        Self::Refused(error)
    }
}

// === impl Severity ===

impl Severity {
    pub(super) fn of(error: &rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(raw, _) = error else { return Self::Command };
        match raw.extended_code {
            // The shared-memory index cannot grow.
            ffi::SQLITE_IOERR_SHMSIZE => Self::Full,
            ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC | ffi::SQLITE_IOERR_WRITE => Self::Fatal,
            _ if raw.code == ErrorCode::DiskFull => Self::Full,
            _ => Self::Command,
        }
    }

    /// The same where it was `COMMIT` that failed: any I/O error leaves the outcome unknown there.
    pub(super) fn of_commit(error: &rusqlite::Error) -> Self {
        match Self::of(error) {
            Self::Command if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => Self::Fatal,
            severity => severity,
        }
    }
}
