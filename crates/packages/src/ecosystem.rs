//! What the platform asks of a package ecosystem.

use faas_types::{Bundle, RuntimeName};

use crate::plan::PackagePlan;
use crate::sources::{ReadError, SourceFiles};

/// A release of a runtime that is installed on this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeRelease {
    /// Language and version, such as `python3.12`.
    pub name: RuntimeName,
    /// The exact version, such as `3.12.1`.
    pub exact: String,
}

/// What packages are installed for.
#[derive(Clone, Debug)]
pub struct InstallTarget {
    /// The function's runtime.
    pub runtime: RuntimeRelease,
    /// The runtimes of this server, for hints.
    pub installed: Vec<RuntimeRelease>,
    /// Packages whose install scripts the manifest lets run.
    pub scripts: Vec<String>,
}

/// A file that asks for packages, and the files that are read with it where they lie beside.
pub type RequestFile = (&'static str, &'static [&'static str]);

/// The packages of one language: which files ask for them, and how they come to be beside the code.
pub trait Ecosystem: Sync {
    /// Directories of a bundle whose presence means that it brings its packages along; each ends in a slash.
    fn vendor_dirs(&self) -> &'static [&'static str];

    /// The directory below which a layer's packages lie, with a slash at its end; empty for the layer's root.
    fn layer_prefix(&self) -> &'static str {
        ""
    }

    /// The files that ask for packages. The first is what a file of an unknown name is taken for.
    fn request_files(&self) -> &'static [RequestFile] {
        &[]
    }

    /// Reads what a bundle asks for.
    ///
    /// # Errors
    /// [`ReadError::Needs`] for a file whose text has not been supplied; `FN_006` for what cannot be read or installed.
    fn plan(&self, sources: &SourceFiles, target: &InstallTarget) -> Result<PackagePlan, ReadError>;

    /// Whether the message of a failed import says that a module was not found.
    fn is_missing_module(&self, message: &str) -> bool;

    /// Whether an error of this type is one of an import, which may come from a package that does not fit.
    fn is_failed_import(&self, kind: &str) -> bool {
        let _ = kind;
        false
    }

    /// Why a bundle's own packages cannot work on a runtime, and what to do; `None` when nothing is known against them.
    fn incompatibility(&self, bundle: &Bundle, runtime: &RuntimeName) -> Option<String> {
        let _ = (bundle, runtime);
        None
    }
}
