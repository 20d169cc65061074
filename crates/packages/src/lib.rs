//! What a bundle's files ask to be installed, and what its source imports. Pure: no files, no network, no installer.
//!
//! Each language is a folder and one row of `languages::LANGUAGES`; no caller needs to know which there are.
//!
//! - [`Ecosystem`] reads requirements and locks and makes a [`PackagePlan`], which names the files that the installer is given.
//! - [`Declarations`] reads the packages that an author declares, and those that lie beside the code.
//! - [`ImportSyntax`] finds the imports of source files.
//!
//! Reading goes through [`SourceFiles`]: the listing of a bundle, and the texts that the caller has supplied so far. A text that
//! is missing ends it with [`ReadError::Needs`]; the caller supplies the text and starts again.

mod declarations;
mod deno;
mod ecosystem;
mod imports;
mod language_packages;
mod languages;
mod layer_key;
mod nodejs;
mod plan;
mod python;
mod refusal;
mod sources;

pub use declarations::{Declarations, DeclaredPackages, VendoredPackages};
pub use ecosystem::{Ecosystem, InstallTarget, RequestFile, RuntimeRelease};
pub use imports::{Import, ImportScan, ImportScanner, ImportSyntax, ModuleProviders, PackageLookup};
pub use language_packages::{LanguagePackages, PackageReading};
pub use languages::{DECLARATION_FILES, ecosystem, imported_modules, is_vendor_dir, packages_of, plain_module};
pub use layer_key::layer_id;
pub use plan::{InstallRequest, PackagePlan};
pub use refusal::unplanned;
pub use sources::{ReadError, SourceFiles};
