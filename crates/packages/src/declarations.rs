//! The packages that a function's author declares, and those that lie beside the code.

use std::collections::{BTreeMap, HashSet};

use faas_types::Fault;

use crate::sources::{ReadError, SourceFiles};

/// Declared packages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeclaredPackages {
    /// The file that declares them; `None` when the bundle has none.
    pub file: Option<String>,
    /// The names as they are written, by their canonical names.
    pub names: BTreeMap<String, String>,
}

/// Packages that a bundle brings along: what `pip install --target` and `npm install` leave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VendoredPackages {
    /// Their files, by path in the bundle.
    pub files: HashSet<String>,
    /// The modules that they provide, where that is known.
    pub modules: HashSet<String>,
    /// Their canonical names.
    pub names: HashSet<String>,
}

/// How packages of one ecosystem are named, declared and vendored.
pub trait Declarations: Sync {
    /// A name as its registry compares it.
    fn canonical(&self, name: &str) -> String;

    /// The file in which the first package is declared.
    fn default_file(&self) -> &'static str;

    /// Reads what a bundle declares.
    ///
    /// # Errors
    /// [`ReadError::Needs`] for a file whose text has not been supplied; `FN_006` for what cannot be read.
    fn declared(&self, sources: &SourceFiles) -> Result<DeclaredPackages, ReadError>;

    /// The text of a file with these packages added.
    ///
    /// # Errors
    /// `FN_006` when only the author can tell the right place, or for a text that cannot be read.
    fn with_packages(&self, file: &str, text: &str, packages: &[&str]) -> Result<String, Fault>;

    /// Whether [`see`](Self::see) wants the text of a file.
    fn is_record(&self, path: &str) -> bool;

    /// Adds what a file of the bundle says of vendored packages.
    fn see(&self, path: &str, text: Option<&str>, vendored: &mut VendoredPackages);

    /// Whether a file belongs to a vendored package.
    fn is_vendored(&self, path: &str, vendored: &VendoredPackages) -> bool;
}

// === impl DeclaredPackages ===

impl DeclaredPackages {
    /// Adds a package.
    pub(crate) fn add(&mut self, canonical: String, name: &str) {
        self.names.entry(canonical).or_insert_with(|| name.to_owned());
    }
}
