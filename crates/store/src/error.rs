//! Why a data directory does not open.

use std::path::PathBuf;

/// Why a [`Store`](crate::Store) does not open. Nothing in the directory has been changed then, except that an empty
/// one may have been begun.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another server works on the directory.
    #[error(
        "the data directory {} is in use by the server with process id {pid}; stop that server or choose another directory with --data",
        dir.display()
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The other server's process id, or `unknown`.
        pid: String,
    },
    /// The database is gone from a directory that was in use.
    #[error(
        "{} is missing or empty, though the directory was in use: functions, keys and runs were in it; restore it from a backup, or start anew with another directory by --data",
        file.display()
    )]
    LostDatabase {
        /// The database.
        file: PathBuf,
    },
    /// The directory holds something else.
    #[error(
        "{} is not empty and not a data directory of faas; choose an empty or a new directory with --data",
        dir.display()
    )]
    Stray {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory was written by a newer release.
    #[error(
        "the data directory {} was written by a newer release (format {found}, this release reads up to {supported}); upgrade faas or choose another directory with --data",
        dir.display()
    )]
    NewerFormat {
        /// The directory.
        dir: PathBuf,
        /// The format that was found.
        found: u32,
        /// The newest format that this release reads.
        supported: u32,
    },
    /// The directory was written by an older release, and is not read any more.
    #[error(
        "the data directory {} has format {found}, which this release does not read; choose another directory with --data, and deploy again",
        dir.display()
    )]
    OlderFormat {
        /// The directory.
        dir: PathBuf,
        /// The format that was found.
        found: u32,
    },
    /// The directory's format file says nothing known.
    #[error(
        "the format `{found}` of the data directory {} is unknown; restore the file `format` from a backup or choose another directory with --data",
        dir.display()
    )]
    UnknownFormat {
        /// The directory.
        dir: PathBuf,
        /// What the file says, shortened.
        found: String,
    },
    /// A database was written by a newer release.
    #[error(
        "the database {} was written by a newer release (schema {found}, this release knows {supported}); upgrade faas",
        file.display()
    )]
    NewerDatabase {
        /// The database.
        file: PathBuf,
        /// The schema that was found.
        found: i64,
        /// The newest schema that this release knows.
        supported: i64,
    },
    /// A database is damaged.
    #[error("the database {} is damaged: {detail}; restore the data directory from a backup", file.display())]
    Damaged {
        /// The database.
        file: PathBuf,
        /// What was seen.
        detail: String,
    },
    /// The key file is gone, and something is sealed under its keys.
    #[error(
        "{} is missing, and without it none of the secrets that the database holds opens; restore it from a backup, or start anew with another directory by --data",
        file.display()
    )]
    LostKeys {
        /// The file.
        file: PathBuf,
    },
    /// The key file says nothing known.
    #[error("the key file {} cannot be read as keys; restore it from a backup, for without it no secret opens", file.display())]
    Keys {
        /// The file.
        file: PathBuf,
    },
    /// The SQLite that is linked is too old to be trusted with WAL.
    #[error("SQLite {found} is too old; {wanted} or newer is needed")]
    OldSqlite {
        /// The version that is linked.
        found: &'static str,
        /// The oldest that will do.
        wanted: &'static str,
    },
    /// A database operation failed.
    #[error("{context} {}: {source}", file.display())]
    Database {
        /// What was being done.
        context: &'static str,
        /// The database.
        file: PathBuf,
        /// Why it failed.
        source: rusqlite::Error,
    },
    /// A file operation failed.
    #[error("{context} {}: {source}", path.display())]
    Io {
        /// What was being done.
        context: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
}

// === impl StoreError ===

impl StoreError {
    pub(crate) fn io(context: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { context, path, source }
    }

    pub(crate) fn database(context: &'static str, file: impl Into<PathBuf>) -> impl FnOnce(rusqlite::Error) -> Self {
        let file = file.into();
        move |source| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                Self::Damaged { file, detail: source.to_string() }
            }
            _ => Self::Database { context, file, source },
        }
    }
}
