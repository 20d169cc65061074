//! What is wrong with a manifest, told all at once.

use std::fmt;
use std::io;
use std::path::PathBuf;

use faas_types::{Fault, FieldError, FieldRule, Reason};

use super::Position;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestProblem {
    /// The key, such as `scaling.max`; empty when the whole file is meant.
    pub field: String,
    /// Where it is written, where the syntax tells.
    pub at: Option<Position>,
    /// What it breaks.
    pub rule: FieldRule,
    /// What is wrong and how to mend it, in one lowercase sentence.
    pub message: String,
}

/// Everything that is wrong with one manifest; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestErrors {
    /// The file, or `manifest` when it came as JSON.
    pub source: String,
    /// What is wrong, in the order of the file.
    pub problems: Vec<ManifestProblem>,
}

/// Why a directory's manifest could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LoadManifestError {
    /// The directory has no manifest.
    #[error(
        "no faas.toml in {dir}; create a function with `faas init NAME`, or deploy a single file with `faas deploy FILE`"
    )]
    Missing {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// It is there but cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It is wrong.
    #[error(transparent)]
    Invalid(#[from] ManifestErrors),
}

// === impl ManifestErrors ===

impl ManifestErrors {
    /// A single problem with the file as a whole.
    pub(super) fn whole(source: &str, at: Option<Position>, message: impl Into<String>) -> Self {
        let rule = FieldRule::Invalid;
        let problem = ManifestProblem { field: String::new(), at, rule, message: message.into() };
        Self { source: source.to_owned(), problems: vec![problem] }
    }

    /// One line for each problem: `faas.toml:3:1: message`.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.problems.iter().map(|problem| match problem.at {
            Some(Position { line, column }) => format!("{}:{line}:{column}: {}", self.source, problem.message),
            None => format!("{}: {}", self.source, problem.message),
        })
    }
}

impl fmt::Display for ManifestErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&line)?;
        }
        Ok(())
    }
}

impl std::error::Error for ManifestErrors {}

impl ManifestErrors {
    /// The same as the failure of a request that has the manifest at `base`, a JSON pointer.
    #[must_use]
    pub fn fault(&self, reason: Reason, base: &str) -> Fault {
        let mut lines = self.lines();
        let message = match (lines.next(), self.problems.len()) {
            (Some(line), 1) => line,
            (_, count) => format!("{}: {count} keys are wrong", self.source),
        };
        let error = |problem: &ManifestProblem| FieldError {
            pointer: FieldError::pointer(base, &problem.field),
            rule: problem.rule,
            message: problem.message.clone(),
            value: None,
        };
        Fault::new(reason, message).with_errors(self.problems.iter().map(error).collect())
    }
}

impl From<ManifestErrors> for Fault {
    fn from(errors: ManifestErrors) -> Self {
        errors
            .fault(Reason::InvalidManifest, "/manifest")
            .with_command_hint("run `faas validate` to check the manifest before deploying")
    }
}
