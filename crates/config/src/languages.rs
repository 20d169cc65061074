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

    /// The runtime that another spelling means, where it is a version that is known here: `py311`, `python311` and
    /// `nodejs20.x` of other platforms, `node-20`, `Python 3.11`. `None` for what is read as it is.
    #[must_use]
    pub fn meant(text: &str) -> Option<RuntimeName> {
        let plain: String = text.to_ascii_lowercase().chars().filter(|c| !"-_:@ v".contains(*c)).collect();
        let plain = plain.strip_suffix(".x").unwrap_or(&plain);
        let digits = plain.find(|c: char| c.is_ascii_digit())?;
        let (word, version) = plain.split_at(digits);
        let word = if word == "py" { "python" } else { word };
        let language = Self::named(word)?;
        let version = language.versions.iter().find(|known| *known == version || known.replace('.', "") == version)?;
        let meant: RuntimeName = format!("{}{version}", language.name).parse().ok()?;
        let own = text.parse().ok().and_then(|name| Self::canonical(&name));
        (own.as_ref() != Some(&meant)).then_some(meant)
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
    fn other_spellings_mean_a_runtime_that_is_known() {
        for (text, meant) in [
            ("py311", "python3.11"),
            ("python311", "python3.11"),
            ("python-3.12", "python3.12"),
            ("Python 3.13", "python3.13"),
            ("nodejs20.x", "node20"),
            ("node-20", "node20"),
            ("node@22", "node22"),
        ] {
            assert_eq!(Language::meant(text).map(|name| name.to_string()).as_deref(), Some(meant), "{text}");
        }
        for text in ["python3.11", "node20", "nodejs20", "python", "ruby3.2", "python39", "", "311"] {
            assert_eq!(Language::meant(text), None, "{text}");
        }
    }

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
