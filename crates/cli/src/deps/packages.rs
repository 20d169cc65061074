//! How modules and packages are named.

use std::collections::HashMap;
use std::sync::OnceLock;

use faas_client::LocalFile;

use crate::deps::beside::Beside;
use crate::deps::scan::{Import, Scan};

const PYTHON: &str = include_str!("../../data/python_packages.txt");

/// Whose packages a language uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ecosystem {
    /// Python's package index.
    Python,
    /// npm's registry.
    Node,
}

/// A name as its registry compares it.
pub(crate) fn canonical(name: &str, ecosystem: Ecosystem) -> String {
    if ecosystem == Ecosystem::Node {
        return name.to_owned();
    }
    let mut canonical = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter {
            '-' | '_' | '.' if canonical.ends_with('-') => {}
            '-' | '_' | '.' => canonical.push('-'),
            other => canonical.push(other.to_ascii_lowercase()),
        }
    }
    canonical
}

// === impl Ecosystem ===

impl Ecosystem {
    pub(super) fn of(language: &str) -> Option<Self> {
        match language {
            "python" => Some(Self::Python),
            "node" => Some(Self::Node),
            _ => None,
        }
    }

    /// The interpreter's name.
    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::Python => "python3",
            Self::Node => "node",
        }
    }

    pub(super) fn is_source(self, path: &str) -> bool {
        let endings: &[&str] = match self {
            Self::Python => &[".py"],
            Self::Node => &[".js", ".mjs", ".cjs"],
        };
        endings.iter().any(|ending| path.ends_with(ending))
    }

    /// The modules that an import wants, each with the packages that may bring it, the usual one first.
    pub(super) fn providers(self, import: &Import) -> Vec<(String, Vec<String>)> {
        match self {
            Self::Python => python_providers(import),
            Self::Node => {
                let package = node_package(&import.module);
                vec![(package.clone(), vec![package])]
            }
        }
    }

    /// Whether the runtime brings it.
    pub(super) fn is_builtin(self, module: &str, scan: &Scan) -> bool {
        match self {
            // `faas` is the module with which functions publish.
            Self::Python => module == "faas" || scan.builtin.contains(top(module)),
            Self::Node => module.starts_with("node:") || scan.builtin.contains(module),
        }
    }

    /// Whether a file of the function itself is meant.
    pub(super) fn is_local(self, module: &str, files: &[LocalFile], beside: &Beside) -> bool {
        match self {
            // The last two are aliases of compilers: no package can be named so.
            Self::Node => module.starts_with(['.', '/', '#', '~']) || module.starts_with("@/"),
            Self::Python => {
                let (file, package) = (format!("{}.py", top(module)), format!("{}/", top(module)));
                files.iter().map(|file| file.entry.path.as_str()).any(|path| {
                    (path == file || path.starts_with(&package) && path.ends_with(".py")) && !beside.holds(path)
                })
            }
        }
    }
}

/// Whether the function has a file or directory of a module's name where the runtime does not look for it. On an index that
/// name is somebody else's package, and no stranger's code is to be proposed for a misplaced file.
pub(super) fn is_misplaced(module: &str, files: &[LocalFile], beside: &Beside, ecosystem: Ecosystem) -> bool {
    let first = module.split(['.', '/']).next().unwrap_or(module);
    files.iter().map(|file| file.entry.path.as_str()).filter(|path| ecosystem.is_source(path)).any(|path| {
        let whole = path.replace('\\', "/");
        let stem = whole.rsplit_once('.').map_or(whole.as_str(), |(stem, _)| stem);
        stem.split('/').any(|part| part == first) && !beside.holds(path)
    })
}

/// The first part of a dotted name.
pub(super) fn top(module: &str) -> &str {
    module.split('.').next().unwrap_or(module)
}

/// The package of a Python module that no table knows.
pub(super) fn guess(module: &str) -> String {
    module.replace('_', "-")
}

fn python_providers(import: &Import) -> Vec<(String, Vec<String>)> {
    let whole = |name: &String| format!("{}.{name}", import.module);
    let deeper: Vec<_> = import.names.iter().map(whole).filter_map(|module| known(&module)).collect();
    match known(&import.module) {
        // What is said of `google.cloud.storage` is more than what is said of `google.cloud`.
        None if !deeper.is_empty() => deeper,
        Some(found) => vec![found],
        None => {
            let top = top(&import.module);
            vec![(top.to_owned(), vec![guess(top)])]
        }
    }
}

/// The entry of the table for a module or the nearest one above it.
fn known(module: &str) -> Option<(String, Vec<String>)> {
    static TABLE: OnceLock<HashMap<&str, Vec<&str>>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let lines = PYTHON.lines().filter(|line| !line.starts_with('#'));
        let words = lines.map(|line| line.split_whitespace());
        words.filter_map(|mut words| Some((words.next()?, words.collect()))).collect()
    });
    let mut name = module;
    loop {
        if let Some(packages) = table.get(name) {
            return Some((name.to_owned(), packages.iter().map(ToString::to_string).collect()));
        }
        name = name.rsplit_once('.')?.0;
    }
}

/// The package of `@scope/name/part` or `name/part`.
fn node_package(specifier: &str) -> String {
    if specifier.starts_with(['.', '/', '#']) || specifier.starts_with("node:") {
        return specifier.to_owned();
    }
    let parts = if specifier.starts_with('@') { 2 } else { 1 };
    specifier.split('/').take(parts).collect::<Vec<_>>().join("/")
}
