//! What is to be installed.

use std::collections::BTreeMap;

/// What the files of a bundle ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackagePlan {
    /// Packages.
    Install(InstallRequest),
    /// Packages, named by a file that is not read; the note says what to do.
    Unreadable(String),
    /// Nothing.
    Nothing,
}

/// Packages to install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallRequest {
    /// The file that asks for them.
    pub source: String,
    /// The file that the installer is given; one of `files`.
    pub root: String,
    /// What the installer reads: paths and texts, without anything that makes no difference to it.
    pub files: BTreeMap<String, String>,
}

// === impl PackagePlan ===

impl PackagePlan {
    /// A request for these files; nothing when all of them are empty.
    pub(crate) fn install(source: &str, root: &str, files: BTreeMap<String, String>) -> Self {
        if files.values().all(String::is_empty) {
            return Self::Nothing;
        }
        Self::Install(InstallRequest { source: source.to_owned(), root: root.to_owned(), files })
    }
}
