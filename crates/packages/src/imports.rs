//! What source files import.

use std::collections::HashSet;

use serde::Deserialize;

/// One import, as an interpreter's parser sees it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Import {
    /// As it is written: `google.cloud`, `@scope/package/part`.
    pub module: String,
    /// The names that are imported from it, each of which may be a module.
    pub names: Vec<String>,
    /// The importing file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// Whether the code goes on without it.
    pub optional: bool,
}

/// The imports of a set of files, as an [`ImportScanner`] prints them.
#[derive(Clone, Debug, Deserialize)]
pub struct ImportScan {
    /// Whether the interpreter is of the function's own version.
    pub exact: bool,
    /// Modules that come with the runtime.
    pub builtin: HashSet<String>,
    /// The imports.
    pub imports: Vec<Import>,
    /// Files that do not parse.
    pub unread: Vec<String>,
}

/// A program that prints an [`ImportScan`] as JSON. It parses files with the language's own interpreter and runs none of them.
///
/// It reads lines of `path here`, a tab, and `path in the bundle` from standard input.
#[derive(Clone, Copy, Debug)]
pub struct ImportScanner {
    /// The interpreter.
    pub interpreter: &'static str,
    /// Its arguments; the version of the function's runtime is one more.
    pub args: &'static [&'static str],
    /// The endings of files that it parses.
    pub suffixes: &'static [&'static str],
}

/// Where a guess at the package of a module can be verified.
#[derive(Clone, Copy, Debug)]
pub struct PackageLookup {
    /// The language, for people.
    pub language: &'static str,
    /// The index, for people.
    pub index: &'static str,
    /// The variable of the environment that names another index.
    pub variable: &'static str,
    /// Has a page below it for each package, under its canonical name.
    pub url: &'static str,
}

/// A module that an import needs, and the packages that may provide it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleProviders {
    /// The module.
    pub module: String,
    /// The packages, the usual one first.
    pub packages: Vec<String>,
    /// Whether the package is only assumed to be named as the module is.
    pub is_guess: bool,
}

/// How the source of one language imports modules.
pub trait ImportSyntax: Sync {
    /// The modules that a file seems to import, with their byte offsets; `None` for a file of another language. A search of the
    /// text: exact enough to enforce a rule on those who do not mean to break it.
    fn modules<'t>(&self, path: &str, text: &'t str) -> Option<Vec<(usize, &'t str)>>;

    /// What may stand before the name of a module of the runtime.
    fn builtin_prefix(&self) -> Option<&'static str> {
        None
    }

    /// Where guesses at packages can be verified; `None` where there are no guesses.
    fn lookup(&self) -> Option<PackageLookup> {
        None
    }

    /// The program that parses files.
    fn scanner(&self) -> ImportScanner;

    /// The modules that an import needs, with the packages that may provide them.
    fn providers(&self, import: &Import) -> Vec<ModuleProviders>;

    /// Whether the runtime provides a module.
    fn is_builtin(&self, module: &str, scan: &ImportScan) -> bool;

    /// Whether a module is one of the function's own files, which have these paths.
    fn is_local(&self, module: &str, own_paths: &[&str]) -> bool;
}

// === impl ImportScanner ===

impl ImportScanner {
    /// Whether it parses a file of this path.
    #[must_use]
    pub fn parses(&self, path: &str) -> bool {
        self.suffixes.iter().any(|suffix| path.ends_with(suffix))
    }
}
