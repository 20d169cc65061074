//! `[build]`: what happens before a version is checked.

use faas_types::DependencyMode;

use super::reader::{Reader, Table, shorten};

/// Keys of `[build]`.
const BUILD_KEYS: &[&str] = &["dependencies", "scripts"];
/// Entries of `build.scripts`.
pub(super) const SCRIPTS_MAX: usize = 64;
/// Bytes of a package's name.
const NAME_MAX: usize = 214;

/// What `[build]` says.
#[derive(Default)]
pub(super) struct Section {
    /// Whether packages are installed.
    pub(super) dependencies: DependencyMode,
    /// Packages whose install scripts run, each once, by name.
    pub(super) scripts: Vec<String>,
}

/// Reads `[build]`; `None` when the manifest is silent.
pub(super) fn build(reader: &mut Reader, root: &Table<'_>) -> Option<Section> {
    let table = reader.table("build", root.get("build")?)?;
    reader.refuse_unknown(&table, BUILD_KEYS);
    let words = [("auto", DependencyMode::Auto), ("install", DependencyMode::Install), ("none", DependencyMode::None)];
    let dependencies = reader.one_of(&table, "dependencies", &words).unwrap_or_default();
    Some(Section { dependencies, scripts: scripts(reader, &table).unwrap_or_default() })
}

fn scripts(reader: &mut Reader, table: &Table<'_>) -> Option<Vec<String>> {
    let node = table.get("scripts")?;
    let field = table.path_of("scripts");
    let items = reader.list(&field, node)?;
    if items.len() > SCRIPTS_MAX {
        reader.problem(&field, node.at, format!("`{field}` has more than {SCRIPTS_MAX} packages"));
        return None;
    }
    let mut names = Vec::with_capacity(items.len());
    for item in items {
        let Some(name) = reader.text(&field, item) else { continue };
        if is_name(name) {
            names.push(name.to_owned());
        } else {
            let message = format!("`{}` is no name of a package, such as \"esbuild\"", shorten(name));
            reader.problem(&field, item.at, message);
        }
    }
    names.sort();
    names.dedup();
    Some(names)
}

fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@/-._~".contains(c);
    !text.is_empty() && text.len() <= NAME_MAX && text.chars().all(plain)
}
