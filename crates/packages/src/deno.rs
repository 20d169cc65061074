//! Deno: the imports of `deno.json`. They are not installed; what the manifest of a bundle asks for is told.

use serde_json::Value;

use crate::ecosystem::{Ecosystem, InstallTarget};
use crate::language_packages::LanguagePackages;
use crate::plan::PackagePlan;
use crate::sources::{ReadError, SourceFiles};

/// Deno's packages, from the registries of npm and JSR.
pub(crate) struct Deno;

pub(crate) const PACKAGES: LanguagePackages = LanguagePackages { language: "deno", ecosystem: &Deno, reading: None };

const MANIFEST: &str = "deno.json";
/// May have comments, so it is not read.
const COMMENTED: &str = "deno.jsonc";
const LOCK: &str = "deno.lock";
/// What imports of packages begin with.
const PACKAGES_FROM: [&str; 4] = ["npm:", "jsr:", "https:", "http:"];

// === impl Deno ===

impl Ecosystem for Deno {
    fn vendor_dirs(&self) -> &'static [&'static str] {
        &["node_modules/", "vendor/"]
    }

    fn plan(&self, sources: &SourceFiles, _: &InstallTarget) -> Result<PackagePlan, ReadError> {
        let asking = match sources.text(MANIFEST)? {
            Some(text) => asks(text).then_some(MANIFEST),
            None => [COMMENTED, LOCK].into_iter().find(|name| sources.has(name)),
        };
        Ok(asking.map_or(PackagePlan::Nothing, |file| PackagePlan::Unreadable(note(file))))
    }

    fn is_missing_module(&self, message: &str) -> bool {
        ["Cannot find module", "Cannot find package"].iter().any(|words| message.contains(words))
    }
}

/// Whether a manifest names packages. One that cannot be read is Deno's own to refuse.
fn asks(text: &str) -> bool {
    let manifest: Value = serde_json::from_str(text).unwrap_or_default();
    let imports = manifest["imports"].as_object().into_iter().flat_map(|imports| imports.values());
    let mut places = imports.filter_map(Value::as_str);
    places.any(|place| PACKAGES_FROM.iter().any(|start| place.starts_with(start)))
}

fn note(file: &str) -> String {
    format!(
        "the packages of {file} are not installed, for packages of Deno are not in this release; put them into one file with \
         `deno bundle main.ts -o bundle.js` and set entrypoint = \"bundle:handler\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::RuntimeRelease;

    fn told(files: &[(&str, &str)]) -> Option<String> {
        let runtime = RuntimeRelease { name: "deno2".parse().expect("a runtime"), exact: "2.9.0".into() };
        let target = InstallTarget { runtime, installed: Vec::new(), scripts: Vec::new() };
        match Deno.plan(&SourceFiles::supplied(files), &target).expect("a plan") {
            PackagePlan::Unreadable(note) => Some(note),
            PackagePlan::Nothing => None,
            PackagePlan::Install(request) => panic!("{request:?}"),
        }
    }

    #[test]
    fn packages_that_are_asked_for_are_told_not_to_be_installed() {
        let named = told(&[("deno.json", r#"{ "imports": { "@std/path": "jsr:@std/path@1", "own/": "./own/" } }"#)]);
        assert!(named.is_some_and(|note| note.starts_with("the packages of deno.json are not installed")));
        assert!(told(&[("deno.lock", "{}")]).is_some_and(|note| note.contains("deno.lock")));
        assert!(told(&[("deno.jsonc", "// {}")]).is_some());
    }

    #[test]
    fn a_manifest_without_packages_asks_for_none() {
        assert_eq!(told(&[("main.ts", "")]), None);
        assert_eq!(
            told(&[("deno.json", r#"{ "imports": { "own/": "./own/" }, "tasks": {} }"#), ("deno.lock", "{}")]),
            None
        );
        assert_eq!(told(&[("deno.json", "{ broken")]), None);
    }
}
