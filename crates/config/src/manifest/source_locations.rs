//! Where something stands in a manifest, for messages that come after it was read.

use std::path::Path;

use faas_types::limits;

use super::node::{Node, Value};
use super::{MANIFEST_FILES, tree};
use crate::source_dir::SourceDir;

/// Where a var stands in the manifest of a directory, as `faas.toml:7:1`; `None` where it stands in none.
#[must_use]
pub fn location_of_var(dir: &Path, key: &str) -> Option<String> {
    let source = SourceDir::open(dir).ok()?;
    MANIFEST_FILES.into_iter().find_map(|name| {
        let text = source.text(name, limits::MANIFEST_MAX).ok()?;
        let (_, root) = tree(name, &text).ok()?;
        let Value::Table(rows) = &child(&root, "vars")?.value else { return None };
        let (key, node) = rows.iter().find(|(found, _)| found.text == key)?;
        let at = key.at.or(node.at)?;
        Some(format!("{name}:{}:{}", at.line, at.column))
    })
}

fn child<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Value::Table(rows) = &node.value else { return None };
    rows.iter().find(|(key, _)| key.text == name).map(|(_, node)| node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vars_are_found_in_either_syntax() {
        let dir = tempfile::tempdir().expect("temp dir");
        assert_eq!(location_of_var(dir.path(), "KEY"), None);
        std::fs::write(dir.path().join("platform.yaml"), "name: x\nvars:\n  A: b\n  KEY: c\n").expect("write");
        assert_eq!(location_of_var(dir.path(), "KEY").as_deref(), Some("platform.yaml:4:3"));
        std::fs::write(dir.path().join("faas.toml"), "vars.KEY = 'x'\n").expect("write");
        assert_eq!(location_of_var(dir.path(), "KEY").as_deref(), Some("faas.toml:1:6"));
        std::fs::write(dir.path().join("faas.toml"), "[vars\n").expect("write");
        assert_eq!(location_of_var(dir.path(), "NONE"), None);
    }
}
