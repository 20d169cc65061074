//! What a bundle's files ask to be installed. Pure: no files, no network, no installer.
//!
//! Each package ecosystem is a folder behind the trait [`Ecosystem`]: it reads requirements and locks and makes a
//! [`PackagePlan`], which names the files that its installer is given. [`ecosystem`] finds the one of a language; no caller
//! needs to know which there are.
//!
//! Planning reads from [`SourceFiles`]: the listing of a bundle, and the texts that the caller has supplied so far. A text that
//! is missing ends the planning with [`ReadError::Needs`]; the caller supplies it and plans again.

mod ecosystem;
mod layer_key;
mod nodejs;
mod plan;
mod python;
mod refusal;
mod sources;

pub use ecosystem::{Ecosystem, InstallTarget, RuntimeRelease};
pub use layer_key::layer_id;
pub use plan::{InstallRequest, PackagePlan};
pub use refusal::unplanned;
pub use sources::{ReadError, SourceFiles};

/// The list of ecosystems.
const ECOSYSTEMS: [&dyn Ecosystem; 2] = [&nodejs::Nodejs, &python::Python];

/// The ecosystem of a language, by the language's name in runtime names such as `python3.12`.
#[must_use]
pub fn ecosystem(language: &str) -> Option<&'static dyn Ecosystem> {
    ECOSYSTEMS.into_iter().find(|ecosystem| ecosystem.language() == language)
}

#[cfg(test)]
mod tests {
    use faas_types::{BundleFile, Digest};

    use super::*;

    #[test]
    fn each_language_has_one_ecosystem() {
        let mut languages: Vec<&str> = ECOSYSTEMS.iter().map(|ecosystem| ecosystem.language()).collect();
        languages.dedup();
        assert_eq!(languages.len(), ECOSYSTEMS.len());
        assert!(languages.iter().all(|language| ecosystem(language).is_some()));
        assert!(ecosystem("cobol").is_none());
        assert!(ECOSYSTEMS.iter().flat_map(|one| one.vendor_dirs()).all(|dir| dir.ends_with('/')));
    }

    #[test]
    fn compiled_modules_of_python_do_not_concern_other_languages() {
        let path = "vendor/x.cpython-311-x86_64-linux-gnu.so".to_owned();
        let file = BundleFile { path, digest: Digest::from_bytes([0; 32]), size: 0, executable: false };
        let bundle = faas_types::Bundle { files: vec![file] };
        let found = |language: &str, runtime: &str| {
            let runtime = runtime.parse().expect("a runtime");
            ecosystem(language).and_then(|ecosystem| ecosystem.incompatibility(&bundle, &runtime))
        };
        assert!(found("python", "python3.13").is_some());
        assert_eq!(found("node", "node22"), None);
    }
}
