//! How a runtime is found, sealed, started and built for: sections of `shims/<language>/runtime.toml` and the files beside it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use faas_languages::{DebuggerKind, Folder, FolderFile, Language, LinkedPackages, PackageIndex, ScriptCall};
use faas_types::Digest;
use serde::{Deserialize, Serialize};

/// The kind of the runtimes that are described here: a process that a shim of ours runs in.
pub const KIND: &str = "process";

/// One runtime's description.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipe {
    /// The folder that it was read from.
    #[serde(skip)]
    folder: Option<Folder>,
    /// The language, as runtime names begin.
    pub(crate) language: String,
    /// [`KIND`].
    #[serde(rename = "kind")]
    _kind: String,
    /// Part of the digest of every layer that is sealed from this recipe.
    pub(crate) revision: u32,
    /// The releases that the shim runs on, as runtime names show them: `3.12`, or `20` where minor versions are
    /// compatible. An installation is of the first release that its version begins with.
    pub(crate) versions: Vec<String>,
    /// Another language whose shim this one shares: files of this folder take the place of those of the same path.
    pub(crate) extends: Option<String>,
    /// Files and directories (with a slash at their end) of the shim's layer.
    pub(crate) shim: Vec<String>,
    /// How installations are found. Without it nothing of this machine is needed: shim or function bring the program.
    pub(crate) discover: Option<Discover>,
    /// How an installation becomes a layer; without it the program is taken as it is.
    #[serde(default)]
    pub(crate) seal: Seal,
    /// How the sealed runtime is started.
    pub(crate) start: Start,
    /// How debuggers are let in; without it they are not.
    pub(crate) debugger: Option<DebuggerKind>,
    /// How packages are installed for it, and where they appear.
    pub(crate) build: Option<Build>,
    /// How packages in named layers are found, where the shim does not look for them itself.
    pub(crate) layers: Option<LinkedPackages>,
    /// Read by `faas-languages`.
    #[serde(rename = "manifest")]
    _manifest: toml::Table,
    #[serde(rename = "init")]
    _init: toml::Table,
    #[serde(rename = "source", default)]
    _source: toml::Table,
    #[serde(rename = "causes", default)]
    _causes: Vec<toml::Table>,
}

/// How installations are found.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Discover {
    /// What an installation must call itself.
    pub(crate) implementation: String,
    /// Names of programs to look for in the directories of `PATH` and in `places`.
    pub(crate) programs: Vec<String>,
    /// Further directories; `~`, `$VARIABLE` and a `*` for one whole part are expanded.
    pub(crate) places: Vec<String>,
    /// Makes a program print a [`Probed`] as JSON.
    pub(crate) probe: ScriptCall,
}

/// How an installation becomes a layer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Seal {
    /// Prepares a directory of sources for quick loading, where that helps: `{dir}` in a draft, which appears as `{as}`.
    pub(crate) finish: Option<ScriptCall>,
    /// Names that are left out of the directories of packages; a `*` at one end matches anything.
    pub(crate) skip: Vec<String>,
    /// Shared libraries to take along where this machine has them.
    pub(crate) libraries: Vec<String>,
    /// Further names of the program, in its directory: what scripts call it by.
    pub(crate) names: Vec<String>,
}

/// How the sealed runtime is started.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Start {
    /// Share of a function's memory that `{heap_mb}` in `argv` stands for.
    #[serde(default)]
    pub(crate) heap_percent: u64,
    /// What the program writes to standard error before it ends itself for want of memory. Its signal alone would look
    /// like a crash.
    pub(crate) out_of_memory: Option<String>,
    /// Program and arguments inside.
    pub(crate) argv: Vec<String>,
    /// Program and arguments of a process that is forked to become what `argv` starts, where the shim can do that.
    pub(crate) zygote: Option<Vec<String>>,
    /// The whole environment inside.
    pub(crate) env: BTreeMap<String, String>,
}

/// How packages are installed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Build {
    /// Part of what tells layers of packages apart.
    pub(crate) revision: u32,
    /// Where packages come from.
    pub(crate) index: PackageIndex,
    /// Where installed packages appear inside.
    pub(crate) target: String,
    /// Files and directories (with a slash at their end) of the layer of the program that drives the installer.
    pub(crate) program: Vec<String>,
    /// That program and its arguments inside.
    pub(crate) argv: Vec<String>,
    /// Where the installers of the index may be, by their names.
    pub(crate) installers: BTreeMap<String, InstallerPlaces>,
    /// Arguments that make the runtime's program unpack an installer that is an archive.
    pub(crate) unpack: Vec<String>,
    /// How installers begin the lines in which they say what is wrong.
    pub(crate) verdicts: Vec<String>,
    /// Parts of lines that look so and explain nothing.
    #[serde(default)]
    pub(crate) noise: Vec<String>,
    /// Programs of this machine that packages' own scripts may run, as `name` or as `name=other other`, the best first.
    /// What needs libraries that the runtime has not is left out.
    #[serde(default)]
    pub(crate) tools: Vec<String>,
}

/// Where an installer may be on this machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InstallerPlaces {
    /// A program that installs by itself, the best first: `{path}` is each directory of `PATH`, `{home}` the server's.
    #[serde(default)]
    pub(crate) programs: Vec<String>,
    /// A directory or an archive for the runtime's program, the best first: `{tree}` is the library of the installation, `{bin}`
    /// the directory of its program.
    #[serde(default)]
    pub(crate) places: Vec<String>,
    /// What to do on a machine without it.
    pub(crate) missing: String,
}

/// What a program says about its installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Probed {
    /// Which implementation of the language it is.
    pub(crate) implementation: String,
    /// The exact version.
    pub(crate) version: String,
    /// Whether it is a release rather than a preview.
    #[serde(rename = "final")]
    pub(crate) is_final: bool,
    /// The program itself.
    pub(crate) program: Copied,
    /// Its library, unless that is part of the program.
    #[serde(default)]
    pub(crate) tree: Option<Copied>,
}

/// A file or tree to copy into a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Copied {
    /// Where it lies on this machine.
    pub(crate) from: PathBuf,
    /// Where it goes, relative to the layer's root.
    pub(crate) to: PathBuf,
    /// Names to leave out; a `*` at one end matches anything.
    #[serde(default)]
    pub(crate) skip: Vec<String>,
}

// === impl Recipe ===

impl Recipe {
    /// The recipes that this binary carries. Folders of another kind have other sections.
    pub(crate) fn all() -> Vec<Self> {
        let read = |language: &Language| -> Self {
            let folder = Folder::named(&language.name).expect("a language is a folder");
            let text = folder.description();
            Self::read(folder, &text)
                .unwrap_or_else(|error| panic!("{} is checked by this crate's tests: {error}", language.name))
        };
        Language::all().iter().filter(|language| language.kind == KIND).map(read).collect()
    }

    /// A recipe from the text of its description.
    pub(crate) fn read(folder: Folder, text: &str) -> Result<Self, toml::de::Error> {
        Ok(Self { folder: Some(folder), ..toml::from_str(text)? })
    }

    fn folder(&self) -> &Folder {
        self.folder.as_ref().expect("`all` sets it")
    }

    /// Where the directory with the debugger's package appears inside, for a runtime that brings no debugger.
    pub(crate) fn debugger_target(&self) -> Option<&str> {
        Some(&self.debugger.as_ref()?.package.as_ref()?.target)
    }

    /// The arguments of a call, with `values` in place of their names in braces.
    pub(crate) fn arguments(&self, call: &ScriptCall, values: &[(&str, &str)]) -> Vec<String> {
        let arguments = self.folder().arguments(call, values);
        arguments.unwrap_or_else(|| panic!("{}/{} is checked by this crate's tests", self.language, call.script))
    }

    /// What tells the preparing of sources from another.
    pub(crate) fn finish_text(&self) -> String {
        self.seal.finish.as_ref().map_or_else(String::new, |finish| self.arguments(finish, &[]).concat())
    }

    /// The files of the shim, by their paths in its layer.
    pub(crate) fn shim_files(&self) -> Vec<FolderFile> {
        match self.extends.as_deref().map(Folder::named) {
            Some(Some(base)) => self.folder().files_over(&base, &self.shim),
            Some(None) => panic!("what {} extends is checked by this crate's tests", self.language),
            None => self.folder().files(&self.shim),
        }
    }

    /// The files of the program that drives the installer, by their paths in its layer.
    pub(crate) fn builder_files(&self, build: &Build) -> Vec<FolderFile> {
        self.folder().files(&build.program)
    }

    /// The digest of a layer made by this recipe out of `parts`.
    pub(crate) fn digest<'a>(&self, what: &str, parts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
        self.digest_on(std::env::consts::ARCH, what, parts)
    }

    fn digest_on<'a>(&self, arch: &str, what: &str, parts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
        let mut hasher = blake3::Hasher::new();
        let mut add = |part: &[u8]| {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        };
        add(what.as_bytes());
        // Layers hold programs, or what programs compiled for this machine.
        add(arch.as_bytes());
        add(self.language.as_bytes());
        add(&self.revision.to_le_bytes());
        parts.into_iter().for_each(add);
        Digest::from_bytes(*hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_of_different_architectures_share_no_layer() {
        let recipe = Recipe::all().remove(0);
        let on = |arch: &str| recipe.digest_on(arch, "root", [b"x".as_slice()]);
        assert_eq!(recipe.digest("root", [b"x".as_slice()]), on(std::env::consts::ARCH));
        assert_ne!(on("aarch64"), on("x86_64"));
    }

    #[test]
    fn every_recipe_is_complete() {
        let recipes = Recipe::all();
        assert!(recipes.len() > 1, "the folders of `shims/`");
        for recipe in recipes {
            assert_eq!(recipe.language, recipe.folder().name());
            let probe = recipe.discover.iter().map(|discover| &discover.probe);
            let mut calls = probe.chain(&recipe.seal.finish);
            assert!(calls.all(|call| recipe.arguments(call, &[]).iter().any(|argument| argument.contains('\n'))));
            if let Some(build) = &recipe.build {
                let named: std::collections::BTreeSet<&String> = build.index.installers.iter().collect();
                assert_eq!(named, build.installers.keys().collect(), "each installer has its places");
            }
            assert!(recipe.discover.is_some() || recipe.seal.finish.is_none(), "no program prepares the sources");
            let files = recipe.shim_files();
            let boot = recipe.start.argv.iter().filter_map(|argument| argument.strip_prefix("/opt/faas/")).next();
            assert!(files.iter().any(|(path, _)| Some(path.as_str()) == boot), "{files:?}");
            assert!(files.iter().any(|(path, _)| path.starts_with("faas_shim/main.")));
            assert!(!files.iter().any(|(path, _)| path.ends_with(".toml")));
        }
    }
}
