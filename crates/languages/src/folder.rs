//! The embedded folder of a language.

use std::collections::BTreeMap;

use rust_embed::RustEmbed;
use serde::Deserialize;

/// Everything below `shims/`.
#[derive(RustEmbed)]
#[folder = "../../shims"]
#[exclude = "*/__pycache__/*"]
#[exclude = "*/.ruff_cache/*"]
struct Shims;

const DESCRIPTION: &str = "runtime.toml";
/// Where templates of functions lie, in the folder of a language and beside all of them.
const TEMPLATES: &str = "templates";

/// A file of a folder: its path there, and its content.
pub type FolderFile = (String, Vec<u8>);

/// Arguments that make a program run a script of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptCall {
    /// The script.
    pub script: String,
    /// The arguments; `{script}` is the script's text.
    pub argv: Vec<String>,
}

/// The folder of one language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    name: String,
}

// === impl Folder ===

impl Folder {
    /// Every folder with a description, by name.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut names: Vec<String> = Shims::iter()
            .filter_map(|path| path.strip_suffix(DESCRIPTION)?.strip_suffix('/').map(str::to_owned))
            .filter(|name| !name.contains('/'))
            .collect();
        names.sort();
        names.into_iter().map(|name| Self { name }).collect()
    }

    /// The folder of a language; `None` for a language without a folder.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|folder| folder.name == name)
    }

    /// Its name, which is the language's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text of `runtime.toml`.
    ///
    /// # Panics
    /// Never: a folder is one by that file.
    #[must_use]
    pub fn description(&self) -> String {
        self.text(DESCRIPTION).expect("a folder has a description")
    }

    /// The text of a file of the folder.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        let file = Shims::get(&format!("{}/{path}", self.name))?;
        Some(String::from_utf8_lossy(&file.data).into_owned())
    }

    /// The arguments of a call, with `values` in place of these names in braces. Each is put in once: what stands in a script or
    /// a value stays as it is.
    #[must_use]
    pub fn arguments(&self, call: &ScriptCall, values: &[(&str, &str)]) -> Option<Vec<String>> {
        let script = self.text(&call.script)?;
        let fill = |argument: &String| match argument.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some("script") => script.clone(),
            Some(name) => values
                .iter()
                .find(|(known, _)| *known == name)
                .map_or(argument.as_str(), |(_, value)| *value)
                .to_owned(),
            None => argument.clone(),
        };
        Some(call.argv.iter().map(fill).collect())
    }

    /// The files that `parts` name: files, and directories with a slash at their end. Sorted by path.
    #[must_use]
    pub fn files(&self, parts: &[String]) -> Vec<FolderFile> {
        let is_named =
            |path: &str| parts.iter().any(|part| part == path || part.ends_with('/') && path.starts_with(part));
        below(&format!("{}/", self.name)).into_iter().filter(|(path, _)| is_named(path)).collect()
    }

    /// The same files of `base`, with this folder's own in their place and beside them.
    #[must_use]
    pub fn files_over(&self, base: &Self, parts: &[String]) -> Vec<FolderFile> {
        let mut files: BTreeMap<String, Vec<u8>> = base.files(parts).into_iter().collect();
        files.extend(self.files(parts));
        files.into_iter().collect()
    }

    /// The files of a template: those that all languages share, with this folder's own in their place. Empty where the
    /// folder has none of its own.
    #[must_use]
    pub fn template(&self, name: &str) -> Vec<FolderFile> {
        let own = below(&format!("{}/{TEMPLATES}/{name}/", self.name));
        if own.is_empty() {
            return own;
        }
        let mut files: BTreeMap<String, Vec<u8>> = below(&format!("{TEMPLATES}/{name}/")).into_iter().collect();
        files.extend(own);
        files.into_iter().collect()
    }
}

/// The files below a prefix, by their paths without it.
fn below(prefix: &str) -> Vec<FolderFile> {
    let mut files: Vec<FolderFile> = Shims::iter()
        .filter_map(|path| Some((path.strip_prefix(prefix)?.to_owned(), Shims::get(&path)?.data.into_owned())))
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_single_files_are_named() {
        let folder = Folder::all().into_iter().find(|folder| !folder.template("http").is_empty()).expect("a folder");
        let paths = |parts: &[&str]| -> Vec<String> {
            let parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
            folder.files(&parts).into_iter().map(|(path, _)| path).collect()
        };
        assert_eq!(paths(&[DESCRIPTION]), [DESCRIPTION]);
        assert!(paths(&["templates/"]).iter().all(|path| path.starts_with("templates/")));
        assert!(paths(&["templates"]).is_empty() && paths(&[]).is_empty());
    }

    #[test]
    fn a_template_is_what_is_shared_and_what_is_its_own() {
        for folder in Folder::all() {
            let names: Vec<String> = folder.template("http").into_iter().map(|(path, _)| path).collect();
            assert!(names.len() > 3 && names.iter().any(|name| name == "test.json"), "{}: {names:?}", folder.name());
            assert!(folder.template("no-such").is_empty());
        }
    }
}
