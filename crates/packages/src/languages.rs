//! The list of languages.

use crate::ecosystem::Ecosystem;
use crate::language_packages::LanguagePackages;
use crate::{deno, nodejs, python};

/// Every language with packages.
pub(crate) const LANGUAGES: [LanguagePackages; 3] = [nodejs::PACKAGES, python::PACKAGES, deno::PACKAGES];

/// Files in which most projects say what is installed.
pub const DECLARATION_FILES: [&str; 3] = ["requirements.txt", "pyproject.toml", "package.json"];

/// The packages of a language, by its name in runtime names.
#[must_use]
pub fn packages_of(language: &str) -> Option<LanguagePackages> {
    LANGUAGES.into_iter().find(|known| known.language == language)
}

/// The ecosystem of a language, by its name in runtime names.
#[must_use]
pub fn ecosystem(language: &str) -> Option<&'static dyn Ecosystem> {
    packages_of(language).map(|known| known.ecosystem)
}

/// The modules that a source file seems to import, with their byte offsets. Files of an unknown language import nothing.
#[must_use]
pub fn imported_modules<'t>(path: &str, text: &'t str) -> Vec<(usize, &'t str)> {
    let readings = LANGUAGES.iter().filter_map(|known| known.reading);
    readings.into_iter().find_map(|reading| reading.imports.modules(path, text)).unwrap_or_default()
}

/// The name of a module without what some language puts before those of its runtime.
#[must_use]
pub fn plain_module(name: &str) -> &str {
    let mut readings = LANGUAGES.iter().filter_map(|known| known.reading);
    readings.find_map(|reading| name.strip_prefix(reading.imports.builtin_prefix()?)).unwrap_or(name)
}

/// Whether packages lie in a directory of this name beside the code of some language.
#[must_use]
pub fn is_vendor_dir(name: &str) -> bool {
    let mut places = LANGUAGES.iter().flat_map(|known| known.ecosystem.vendor_dirs());
    places.any(|dir| dir.strip_suffix('/') == Some(name))
}

#[cfg(test)]
mod tests {
    use faas_types::{Bundle, BundleFile, Digest};

    use super::*;

    #[test]
    fn each_language_stands_once_in_the_list() {
        let mut languages: Vec<&str> = LANGUAGES.iter().map(|known| known.language).collect();
        languages.dedup();
        assert_eq!(languages.len(), LANGUAGES.len());
        assert!(languages.iter().all(|language| ecosystem(language).is_some()));
        assert!(ecosystem("cobol").is_none());
        assert!(LANGUAGES.iter().flat_map(|known| known.ecosystem.vendor_dirs()).all(|dir| dir.ends_with('/')));
    }

    #[test]
    fn what_stands_before_modules_of_a_runtime_is_left_out() {
        assert_eq!(["node:fs/promises", "fs", "os.path"].map(plain_module), ["fs/promises", "fs", "os.path"]);
        assert!(is_vendor_dir("node_modules") && is_vendor_dir("vendor") && !is_vendor_dir("src"));
    }

    #[test]
    fn compiled_modules_of_python_do_not_concern_other_languages() {
        let path = "vendor/x.cpython-311-x86_64-linux-gnu.so".to_owned();
        let file = BundleFile { path, digest: Digest::from_bytes([0; 32]), size: 0, executable: false };
        let bundle = Bundle { files: vec![file] };
        let found = |language: &str, runtime: &str| {
            let runtime = runtime.parse().expect("a runtime");
            ecosystem(language).and_then(|ecosystem| ecosystem.incompatibility(&bundle, &runtime))
        };
        assert!(found("python", "python3.13").is_some());
        assert_eq!(found("node", "node22"), None);
    }
}
