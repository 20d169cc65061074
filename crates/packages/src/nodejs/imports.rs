//! Imports of JavaScript and TypeScript.

use std::sync::OnceLock;

use regex::Regex;

use super::Nodejs;
use crate::imports::{Import, ImportScan, ImportScanner, ImportSyntax, ModuleProviders};

const SCANNER: &str = include_str!("imports.cjs");
/// Files that are searched; the scanner's interpreter parses JavaScript only.
const SEARCHED: [&str; 5] = [".js", ".mjs", ".cjs", ".ts", ".mts"];
/// Precedes the name of a module of the runtime.
const BUILTIN: &str = "node:";

// === impl Nodejs ===

impl ImportSyntax for Nodejs {
    fn modules<'t>(&self, path: &str, text: &'t str) -> Option<Vec<(usize, &'t str)>> {
        SEARCHED.iter().any(|suffix| path.ends_with(suffix)).then(|| {
            let names = statements().captures_iter(text).filter_map(|groups| groups.get(1));
            names.map(|name| (name.start(), name.as_str())).collect()
        })
    }

    fn builtin_prefix(&self) -> Option<&'static str> {
        Some(BUILTIN)
    }

    fn scanner(&self) -> ImportScanner {
        ImportScanner {
            interpreter: "node",
            args: &["--experimental-vm-modules", "--no-warnings", "-e", SCANNER, "--"],
            suffixes: &[".js", ".mjs", ".cjs"],
        }
    }

    fn providers(&self, import: &Import) -> Vec<ModuleProviders> {
        let package = package_of(&import.module);
        vec![ModuleProviders { module: package.clone(), packages: vec![package], is_guess: false }]
    }

    fn is_builtin(&self, module: &str, scan: &ImportScan) -> bool {
        module.starts_with(BUILTIN) || scan.builtin.contains(module)
    }

    /// `~` and `@/` are aliases of compilers; no package has such a name.
    fn is_local(&self, module: &str, _: &[&str]) -> bool {
        module.starts_with(['.', '/', '#', '~']) || module.starts_with("@/")
    }
}

/// The package of `@scope/name/part` or `name/part`.
fn package_of(specifier: &str) -> String {
    if specifier.starts_with(['.', '/', '#']) || specifier.starts_with(BUILTIN) {
        return specifier.to_owned();
    }
    let parts = if specifier.starts_with('@') { 2 } else { 1 };
    specifier.split('/').take(parts).collect::<Vec<_>>().join("/")
}

fn statements() -> &'static Regex {
    static PATTERN: OnceLock<Regex> = OnceLock::new();
    PATTERN.get_or_init(|| {
        Regex::new(r#"(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)["']([^"'\n]+)["']"#).expect("constant")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_import_are_found_by_their_looks() {
        let text = "import a from 'a/b';\nimport 'c';\nconst d = require(\"node:d\"), e = await import('@s/e');\n";
        let found = Nodejs.modules("src/index.mts", text).expect("a file of TypeScript");
        let modules: Vec<&str> = found.iter().map(|(_, module)| *module).collect();
        assert_eq!(modules, ["a/b", "c", "node:d", "@s/e"]);
        assert!(found.iter().all(|(at, module)| text[*at..].starts_with(module)), "{found:?}");
        assert_eq!(Nodejs.modules("main.py", text), None);
        assert!(!Nodejs.scanner().parses("src/index.mts"), "the interpreter does not parse TypeScript");
    }
}
