//! A language as manifests and the command line see it: the sections `[manifest]`, `[layers]` and `[init]` of its
//! description, `shims/<language>/runtime.toml`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use faas_types::{Entrypoint, RuntimeName};
use serde::Deserialize;

use crate::debugger_kind::DebuggerKind;
use crate::entrypoint_form::{EntrypointForm, EntrypointParts, InvalidEntrypoint};
use crate::folder::{Folder, ScriptCall};
use crate::source_tools::SourceTools;

/// One language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Language {
    /// As runtime names begin.
    pub name: String,
    /// What launches it: the kind of its runtime.
    pub kind: String,
    /// As people write it.
    pub title: String,
    /// Other names for it.
    pub aliases: Vec<String>,
    /// Where the code starts when a manifest does not say so.
    pub entrypoint: Entrypoint,
    /// What entrypoints look like.
    pub entrypoint_form: EntrypointForm,
    /// What follows an entrypoint's file (`.py`, `/__init__.py`), in the order in which a bundle is searched.
    pub files: Vec<String>,
    /// Endings of files that are of this language and no other.
    pub suffixes: Vec<String>,
    /// Sources that it does not run as they are.
    pub compiled: Option<CompiledSources>,
    /// Versions that the shim runs on, oldest first.
    pub versions: Vec<String>,
    /// Files that are no part of a function, as patterns of `.gitignore`.
    pub ignored: Vec<String>,
    /// How its source is looked at where it is written.
    pub source: Option<SourceTools>,
    /// What a debugger of it is like.
    pub debugger: Option<DebuggerKind>,
    /// How packages of named layers are found, where the runtime looks for packages in one place only.
    pub layers: Option<LinkedPackages>,
    /// Where packages come from, where they are installed for it.
    pub index: Option<PackageIndex>,
    /// What `faas init` writes.
    pub(crate) init: Init,
    pub(crate) folder: Folder,
    spellings: Vec<String>,
    is_default: bool,
}

/// Sources that have to be compiled before they are deployed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledSources {
    /// What they are written in.
    pub name: String,
    /// What their files end with.
    pub endings: Vec<String>,
}

/// Where packages come from: a part of the section `[build]`, whose other keys are of `faas-runtimes`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageIndex {
    /// The kind of its indexes: the key under which an operator names one.
    pub kind: String,
    /// Hosts of the public index, which is asked where the operator names none.
    pub hosts: Vec<String>,
    /// Whether several indexes are searched.
    #[serde(default)]
    pub extra: bool,
    /// Whether pages with links to packages are searched.
    #[serde(default)]
    pub find_links: bool,
    /// The programs that install from them, the best first.
    pub installers: Vec<String>,
}

/// Where a runtime looks for packages that lie in several layers: one directory with a link for each package.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkedPackages {
    /// Where the links appear, in place of the packages that were installed.
    pub packages: String,
    /// Where installed packages appear instead, below the directory of the layers.
    pub installed: String,
    /// Directories of a layer that hold packages, with a slash at their end. The first is where packages that are installed
    /// for a layer go.
    pub places: Vec<String>,
    /// Files that make the root of a layer a package.
    pub roots: Vec<String>,
}

/// What `faas init` writes besides the files of a template.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Init {
    /// The file of the code.
    pub(crate) file: String,
    /// What is called in it, by template. These are the language's templates.
    pub(crate) symbols: BTreeMap<String, String>,
    /// What templates are for that no other language has.
    #[serde(default)]
    pub(crate) about: BTreeMap<String, String>,
    /// What git should not keep.
    pub(crate) gitignore: Vec<String>,
    /// A program and arguments that print the version here as JSON text.
    pub(crate) version: Vec<String>,
}

#[derive(Deserialize)]
struct Build {
    index: PackageIndex,
}

#[derive(Deserialize)]
struct Description {
    language: String,
    kind: String,
    versions: Vec<String>,
    manifest: Section,
    source: Option<SourceTools>,
    debugger: Option<DebuggerKind>,
    layers: Option<LinkedPackages>,
    build: Option<Build>,
    init: Init,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    #[serde(default)]
    default: bool,
    title: String,
    #[serde(default)]
    aliases: Vec<String>,
    /// What other platforms begin names of its runtimes with, besides the name and the aliases.
    #[serde(default)]
    spellings: Vec<String>,
    entrypoint: Entrypoint,
    entrypoint_form: EntrypointForm,
    files: Vec<String>,
    suffixes: Vec<String>,
    #[serde(default)]
    ignored: Vec<String>,
    compiled: Option<CompiledSources>,
}

// === impl Language ===

impl Language {
    /// Every language, by name.
    ///
    /// # Panics
    /// Never: this crate's tests load the same embedded descriptions.
    pub fn all() -> &'static [Self] {
        static ALL: OnceLock<Vec<Language>> = OnceLock::new();
        let read = |folder: Folder| {
            let (name, text) = (folder.name().to_owned(), folder.description());
            Self::read(folder, &text).unwrap_or_else(|error| panic!("{name} is checked by this crate's tests: {error}"))
        };
        ALL.get_or_init(|| Folder::all().into_iter().map(read).collect())
    }

    /// The names of all, for messages: `node and python`.
    #[must_use]
    pub fn names() -> String {
        let names: Vec<&str> = Self::all().iter().map(|language| language.name.as_str()).collect();
        match names.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
            _ => names.concat(),
        }
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
        let of = |suffix: &String| name.ends_with(suffix.as_str());
        Self::all().iter().find(|language| language.suffixes.iter().any(of))
    }

    /// What its source files end with; other languages may have files of these endings too.
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
        let spelt = || Self::all().iter().find(|language| language.spellings.iter().any(|spelling| spelling == word));
        let language = Self::named(word).or_else(spelt)?;
        let version = language.versions.iter().find(|known| *known == version || known.replace('.', "") == version)?;
        let meant: RuntimeName = format!("{}{version}", language.name).parse().ok()?;
        let own = text.parse().ok().and_then(|name| Self::canonical(&name));
        (own.as_ref() != Some(&meant)).then_some(meant)
    }

    /// Takes an entrypoint of this language apart.
    ///
    /// # Errors
    /// For one that has not the form of this language's.
    pub fn entrypoint_parts<'e>(&self, entrypoint: &'e Entrypoint) -> Result<EntrypointParts<'e>, InvalidEntrypoint> {
        self.entrypoint_form.parts(entrypoint)
    }

    /// The arguments that make a program run a script of this language's folder.
    ///
    /// # Panics
    /// Never: this crate's tests look for the scripts that the descriptions name.
    #[must_use]
    pub fn arguments(&self, call: &ScriptCall, values: &[(&str, &str)]) -> Vec<String> {
        self.folder.arguments(call, values).expect("a description names scripts of its folder")
    }

    fn read(folder: Folder, text: &str) -> Result<Self, toml::de::Error> {
        let Description { language, kind, versions, manifest, source, debugger, layers, build, init } =
            toml::from_str(text)?;
        Ok(Self {
            name: language,
            kind,
            title: manifest.title,
            aliases: manifest.aliases,
            spellings: manifest.spellings,
            entrypoint: manifest.entrypoint,
            entrypoint_form: manifest.entrypoint_form,
            files: manifest.files,
            suffixes: manifest.suffixes,
            compiled: manifest.compiled,
            versions,
            ignored: manifest.ignored,
            source,
            debugger,
            layers,
            index: build.map(|build| build.index),
            init,
            folder,
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
    fn debugger_source_packages_and_layers_are_a_languages_choice() {
        let text = "language = 'native'\nkind = 'process'\nversions = ['1']\n\
                    [manifest]\ntitle = 'Native'\nentrypoint = 'bin/main'\nentrypoint_form = 'file'\nfiles = ['']\n\
                    suffixes = []\n[init]\nfile = 'bin/main'\ngitignore = []\nversion = []\n[init.symbols]\n";
        let folder = Folder::all().remove(0);
        let language = Language::read(folder, text).expect("a description");
        assert!(language.debugger.is_none() && language.source.is_none() && language.index.is_none());
        assert_eq!(language.entrypoint_parts(&language.entrypoint).map(|parts| parts.file), Ok("bin/main"));
        assert_eq!(language.version_command(), None);
    }

    #[test]
    fn what_is_put_into_arguments_is_put_in_once() {
        let python = Language::standard();
        let call = ScriptCall { script: "probe.py".into(), argv: vec!["{script}".into(), "{a}".into(), "{b}".into()] };
        let arguments = python.arguments(&call, &[("a", "{b}"), ("b", "x")]);
        assert!(arguments[0].contains("import json"), "{arguments:?}");
        assert_eq!(arguments[1..], ["{b}", "x"]);
    }

    #[test]
    fn every_description_is_read() {
        for language in Language::all() {
            assert_eq!(language.name, language.folder.name(), "a folder has the name of its language");
            assert!(!language.versions.is_empty() && !language.init.symbols.is_empty(), "{}", language.name);
            let claimed = language.suffixes.iter().all(|suffix| language.suffixes().any(|own| own == suffix));
            assert!(claimed, "{} has a suffix that no file pattern of it matches", language.name);
            let of_others = |suffix: &String| Language::of_file(&format!("x{suffix}")) != Some(language);
            assert!(!language.suffixes.iter().any(of_others), "{} shares a suffix", language.name);
            let parts = language.entrypoint_parts(&language.entrypoint);
            assert!(parts.is_ok(), "{}: {parts:?}", language.name);
            let check = language.source.iter().filter_map(|source| source.check.as_ref()).map(|check| &check.run);
            let find = language.debugger.iter().filter_map(|debugger| debugger.package.as_ref()).map(|own| &own.find);
            let mut scripts = check.chain(find);
            assert!(scripts.all(|call| language.folder.arguments(call, &[]).is_some()), "{}", language.name);
        }
        assert_eq!(Language::standard().newest().as_str(), "python");
        assert!(Language::names().contains(" and "), "{}", Language::names());
        assert_eq!(Language::named("nodejs").expect("an alias").name, "node");
        assert_eq!(Language::of_file("a/index.mjs").expect("a suffix").name, "node");
        assert_eq!(Language::of_file("main.py").expect("a suffix").entrypoint.as_str(), "main:handler");
        assert!(Language::of_file("main.rs").is_none() && Language::named("ruby").is_none());
    }
}
