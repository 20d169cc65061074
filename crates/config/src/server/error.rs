//! Why a configuration cannot be used.

use std::path::PathBuf;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration file {path}: {error}; check --config or FAAS_CONFIG")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is wrong.
    #[error("{path}:{line}: {message}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, from 1; 0 when unknown.
        line: u32,
        /// What is wrong.
        message: String,
    },
    /// An environment variable is wrong.
    #[error("environment variable {name} is not usable: {message}")]
    Environment {
        /// The variable.
        name: &'static str,
        /// What is wrong.
        message: String,
    },
    /// A value is out of its range, wherever it came from.
    #[error("{field} {message}")]
    OutOfRange {
        /// The key, such as `engine.drain`.
        field: &'static str,
        /// The range and a good value.
        message: String,
    },
}
