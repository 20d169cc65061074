//! Declared and vendored packages of Node.js.

use faas_types::Fault;
use serde_json::{Map, Value, json};

use super::{Nodejs, PACKAGE, table};
use crate::declarations::{Declarations, DeclaredPackages, VendoredPackages};
use crate::refusal::refused;
use crate::sources::{ReadError, SourceFiles};

/// Groups of packages that code may import when it runs.
const GROUPS: [&str; 3] = ["dependencies", "optionalDependencies", "peerDependencies"];
/// Bytes of a `package.json`, which people write.
const DECLARATION_MAX: u64 = 4 << 20;

// === impl Nodejs ===

impl Declarations for Nodejs {
    fn canonical(&self, name: &str) -> String {
        name.to_owned()
    }

    fn default_file(&self) -> &'static str {
        PACKAGE
    }

    fn declared(&self, sources: &SourceFiles) -> Result<DeclaredPackages, ReadError> {
        let mut declared = DeclaredPackages::default();
        let Some(text) = sources.text_within(PACKAGE, DECLARATION_MAX)? else { return Ok(declared) };
        declared.file = Some(PACKAGE.to_owned());
        let package = table(PACKAGE, text)?;
        let groups = GROUPS.iter().filter_map(|group| package.get(*group)?.as_object());
        groups.flat_map(Map::keys).for_each(|name| declared.add(name.clone(), name));
        Ok(declared)
    }

    fn with_packages(&self, file: &str, text: &str, packages: &[&str]) -> Result<String, Fault> {
        let mut package = if text.trim().is_empty() { Map::new() } else { table(file, text)? };
        let group = package.entry(GROUPS[0]).or_insert_with(|| json!({}));
        let group = group.as_object_mut().ok_or_else(|| refused(file, "has `dependencies` that are not an object"))?;
        for name in packages {
            group.entry(*name).or_insert_with(|| "*".into());
        }
        Ok(format!("{:#}\n", Value::Object(package)))
    }

    fn is_record(&self, _: &str) -> bool {
        false
    }

    fn see(&self, path: &str, _: Option<&str>, vendored: &mut VendoredPackages) {
        let Some(rest) = path.strip_prefix("node_modules/") else { return };
        let parts = if rest.starts_with('@') { 2 } else { 1 };
        vendored.names.insert(rest.split('/').take(parts).collect::<Vec<_>>().join("/"));
    }

    fn is_vendored(&self, path: &str, _: &VendoredPackages) -> bool {
        path.starts_with("node_modules/") || path.contains("/node_modules/")
    }
}
