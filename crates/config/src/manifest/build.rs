//! `[build]`: what happens before a version is checked.

use faas_types::DependencyMode;

use super::reader::{Reader, Table};

/// Keys of `[build]`.
const BUILD_KEYS: &[&str] = &["dependencies"];

/// Whether packages are installed; `None` when the manifest is silent.
pub(super) fn dependencies(reader: &mut Reader, root: &Table<'_>) -> Option<DependencyMode> {
    let table = reader.table("build", root.get("build")?)?;
    reader.refuse_unknown(&table, BUILD_KEYS);
    let words = [("auto", DependencyMode::Auto), ("install", DependencyMode::Install), ("none", DependencyMode::None)];
    reader.one_of(&table, "dependencies", &words)
}
