//! The languages that functions are written in: what `shims/<language>/runtime.toml` says under `[manifest]`.

use std::sync::OnceLock;

use faas_types::{Entrypoint, RuntimeName};
use rust_embed::RustEmbed;
use serde::Deserialize;

/// The descriptions of the runtimes.
#[derive(RustEmbed)]
#[folder = "../../shims"]
#[include = "*/runtime.toml"]
struct Descriptions;

/// One language as manifests see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Language {
    /// As runtime names begin.
    pub name: String,
    /// Other names for it.
    pub aliases: Vec<String>,
    /// Where the code starts when a manifest does not say so.
    pub entrypoint: Entrypoint,
    /// What follows an entrypoint's file (`.py`, `/__init__.py`), in the order in which a bundle is searched.
    pub files: Vec<String>,
    /// Versions that the shim runs on, oldest first.
    pub versions: Vec<String>,
    /// What a debugger of it is like.
    pub debugger: DebuggerKind,
    is_default: bool,
}

/// What the debugger of a language is like.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebuggerKind {
    /// What people call it.
    pub name: String,
    /// The port at which its clients look for it.
    pub port: u16,
    /// What to do with its address.
    pub client: String,
    /// The package of the language that it is, where the runtime brings none.
    pub package: Option<String>,
}

#[derive(Deserialize)]
struct Description {
    language: String,
    versions: Vec<String>,
    manifest: Section,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    #[serde(default)]
    default: bool,
    #[serde(default)]
    aliases: Vec<String>,
    entrypoint: Entrypoint,
    files: Vec<String>,
    debugger: DebuggerKind,
}

// === impl Language ===

impl Language {
    /// Every language, by name.
    pub fn all() -> &'static [Self] {
        static ALL: OnceLock<Vec<Language>> = OnceLock::new();
        ALL.get_or_init(|| {
            let mut all: Vec<_> = Descriptions::iter().filter_map(|path| Self::read(&path)).collect();
            all.sort_by(|a, b| a.name.cmp(&b.name));
            all
        })
    }

    /// The language of functions that name none.
    ///
    /// # Panics
    /// Never: this crate's tests load the same embedded descriptions.
    pub fn standard() -> &'static Self {
        Self::all().iter().find(|language| language.is_default).expect("one description is the default")
    }

    /// The language with this name or alias.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::all().iter().find(|language| language.name == name || language.aliases.iter().any(|alias| alias == name))
    }

    /// The language of a single source file.
    #[must_use]
    pub fn of_file(name: &str) -> Option<&'static Self> {
        Self::all().iter().find(|language| language.suffixes().any(|suffix| name.ends_with(suffix)))
    }

    /// What its source files end with.
    pub fn suffixes(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str).filter(|file| file.starts_with('.'))
    }

    /// The runtime that takes the newest version.
    ///
    /// # Panics
    /// Never: this crate's tests load the same embedded descriptions.
    #[must_use]
    pub fn newest(&self) -> RuntimeName {
        self.name.parse().expect("a language without a version is a runtime name")
    }

    /// A runtime under its language's own name: `nodejs20` is `node20`. `None` when no language has the name.
    #[must_use]
    pub fn canonical(runtime: &RuntimeName) -> Option<RuntimeName> {
        let language = Self::named(runtime.language())?;
        format!("{}{}", language.name, runtime.version().unwrap_or_default()).parse().ok()
    }

    fn read(path: &str) -> Option<Self> {
        let text = Descriptions::get(path)?;
        let Description { language, versions, manifest } = toml::from_str(&String::from_utf8_lossy(&text.data)).ok()?;
        Some(Self {
            name: language,
            aliases: manifest.aliases,
            entrypoint: manifest.entrypoint,
            files: manifest.files,
            versions,
            debugger: manifest.debugger,
            is_default: manifest.default,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_description_is_read() {
        let names: Vec<&str> = Language::all().iter().map(|language| language.name.as_str()).collect();
        assert_eq!(names, ["node", "python"]);
        assert_eq!(Language::standard().newest().as_str(), "python");
        assert_eq!(Language::named("nodejs").expect("an alias").name, "node");
        assert_eq!(Language::of_file("a/index.mjs").expect("a suffix").name, "node");
        assert_eq!(Language::of_file("main.py").expect("a suffix").entrypoint.as_str(), "main:handler");
        assert!(Language::of_file("main.rs").is_none() && Language::named("ruby").is_none());
    }
}
