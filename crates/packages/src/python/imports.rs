//! Imports of Python.

use std::collections::HashMap;
use std::sync::OnceLock;

use regex::Regex;

use super::Python;
use crate::imports::{Import, ImportScan, ImportScanner, ImportSyntax, ModuleProviders, PackageLookup};

const SCANNER: &str = include_str!("imports.py");
/// Modules whose package has another name.
const PROVIDERS: &str = include_str!("modules.txt");
/// The module with which functions publish; the shim provides it.
const PUBLISHING: &str = "faas";

// === impl Python ===

impl ImportSyntax for Python {
    fn modules<'t>(&self, path: &str, text: &'t str) -> Option<Vec<(usize, &'t str)>> {
        path.ends_with(".py").then(|| imported(text))
    }

    fn lookup(&self) -> Option<PackageLookup> {
        Some(PackageLookup {
            language: "Python",
            index: "the Python package index",
            variable: "PIP_INDEX_URL",
            url: "https://pypi.org/simple",
        })
    }

    fn scanner(&self) -> ImportScanner {
        ImportScanner { interpreter: "python3", args: &["-I", "-S", "-c", SCANNER], suffixes: &[".py"] }
    }

    fn providers(&self, import: &Import) -> Vec<ModuleProviders> {
        let below = import.names.iter().filter_map(|name| known(&format!("{}.{name}", import.module)));
        let below: Vec<_> = below.collect();
        match known(&import.module) {
            // An entry for `google.cloud.storage` is more specific than one for `google.cloud`.
            None if !below.is_empty() => below,
            Some(found) => vec![found],
            None => {
                let top = top(&import.module);
                vec![ModuleProviders { module: top.to_owned(), packages: vec![top.replace('_', "-")], is_guess: true }]
            }
        }
    }

    fn is_builtin(&self, module: &str, scan: &ImportScan) -> bool {
        module == PUBLISHING || scan.builtin.contains(top(module))
    }

    fn is_local(&self, module: &str, own_paths: &[&str]) -> bool {
        let (file, package) = (format!("{}.py", top(module)), format!("{}/", top(module)));
        own_paths.iter().any(|path| *path == file || path.starts_with(&package) && path.ends_with(".py"))
    }
}

/// The first part of a dotted name.
fn top(module: &str) -> &str {
    module.split('.').next().unwrap_or(module)
}

/// The entry of the table for a module or the nearest one above it.
fn known(module: &str) -> Option<ModuleProviders> {
    static TABLE: OnceLock<HashMap<&str, Vec<&str>>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let lines = PROVIDERS.lines().filter(|line| !line.starts_with('#'));
        let words = lines.map(|line| line.split_whitespace());
        words.filter_map(|mut words| Some((words.next()?, words.collect()))).collect()
    });
    let mut name = module;
    loop {
        if let Some(packages) = table.get(name) {
            let packages = packages.iter().map(ToString::to_string).collect();
            return Some(ModuleProviders { module: name.to_owned(), packages, is_guess: false });
        }
        name = name.rsplit_once('.')?.0;
    }
}

/// The modules of `import a, b.c as d` and of `from a.b import c`.
fn imported(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for groups in statements().captures_iter(text) {
        let Some(list) = groups.get(1).or_else(|| groups.get(2)) else { continue };
        let mut at = list.start();
        for part in list.as_str().split(',') {
            let module = part.split_whitespace().next().unwrap_or_default();
            found.push((at + part.len() - part.trim_start().len(), module));
            at += part.len() + 1;
        }
    }
    found
}

fn statements() -> &'static Regex {
    static PATTERN: OnceLock<Regex> = OnceLock::new();
    PATTERN.get_or_init(|| {
        Regex::new(r"(?m)^[ \t]*(?:import[ \t]+([^\n#;]+)|from[ \t]+([\w.]+)[ \t]+import\b)").expect("constant")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_import_are_found_by_their_looks() {
        let text = "import os, a.b as c  # d\n  from x.y import z\nfromage = 1\nimportant = 2\n\timport q; r\n";
        let found = Python.modules("main.py", text).expect("a file of Python");
        let modules: Vec<&str> = found.iter().map(|(_, module)| *module).collect();
        assert_eq!(modules, ["os", "a.b", "x.y", "q"]);
        assert!(found.iter().all(|(at, module)| text[*at..].starts_with(module)), "{found:?}");
        assert_eq!(Python.modules("main.js", text), None);
    }

    #[test]
    fn the_nearest_entry_of_the_table_wins() {
        let import = |module: &str, names: &[&str]| Import {
            module: module.to_owned(),
            names: names.iter().map(ToString::to_string).collect(),
            file: String::new(),
            line: 1,
            optional: false,
        };
        let found = |module: &str, names: &[&str]| {
            let providers = Python.providers(&import(module, names));
            providers.into_iter().map(|one| (one.module, one.packages[0].clone(), one.is_guess)).collect::<Vec<_>>()
        };
        assert_eq!(found("yaml.loader", &[]), [("yaml".to_owned(), "PyYAML".to_owned(), false)]);
        let storage = ("google.cloud.storage".to_owned(), "google-cloud-storage".to_owned(), false);
        assert_eq!(found("google.cloud", &["storage"]), [storage]);
        assert_eq!(found("my_thing.part", &[]), [("my_thing".to_owned(), "my-thing".to_owned(), true)]);
    }
}
