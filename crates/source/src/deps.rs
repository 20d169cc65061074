//! What a function's code imports, compared with what it declares.

mod declared;
mod proposals;
mod scan;
mod vendored;

use std::collections::{BTreeMap, BTreeSet};

use faas_client::LocalFile;
use faas_packages::{Import, ImportScan, ModuleProviders, PackageLookup, PackageReading, packages_of};
use faas_types::RuntimeName;
use serde::Serialize;

pub use declared::Declared;
pub use proposals::Advisor;
use vendored::Vendored;

/// Places that are listed for one module.
const USES_MAX: usize = 20;

/// Where a module comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// From nothing that is known.
    Missing,
    /// From nothing that is known, but the code goes on without it.
    Optional,
    /// From a package that is declared.
    Declared,
    /// From a vendored package.
    Bundled,
    /// From the function's own files.
    Local,
    /// From the runtime.
    Builtin,
}

/// A line that imports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Use {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// A module that the code imports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Module {
    /// Its name in the code.
    pub module: String,
    /// The package that provides it; absent when none does.
    pub package: Option<String>,
    /// Where it comes from.
    pub source: Source,
    /// The first places.
    pub uses: Vec<Use>,
    /// Whether its package is only assumed to be named as the module is.
    #[serde(skip)]
    pub is_guess: bool,
}

/// What the code imports and what is declared.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The file that declares packages, or the one that would.
    pub declared_in: String,
    /// The modules that the code imports.
    pub modules: Vec<Module>,
    /// Declared packages that no import names. Another package may want them all the same.
    pub unused: Vec<String>,
    /// Files that do not parse.
    pub unread: Vec<String>,
    /// How the analysis may be inexact.
    pub remark: Option<String>,
    /// Where guesses at packages can be verified.
    #[serde(skip)]
    pub lookup: Option<PackageLookup>,
    #[serde(skip)]
    /// What the project declares.
    pub declared: Declared,
}

/// What is known of a function's files.
struct Analysis<'f> {
    language: PackageReading,
    /// Paths of the files that belong to no vendored package.
    own_paths: Vec<&'f str>,
    vendored: &'f Vendored,
    scan: ImportScan,
    declared: Declared,
}

/// All imports of one module.
struct Imported {
    source: Source,
    is_guess: bool,
    uses: BTreeSet<Use>,
}

// === impl Report ===

impl Report {
    /// Packages that the code needs and nothing provides, each once.
    pub fn missing(&self) -> BTreeSet<&str> {
        let missing = self.modules.iter().filter(|module| module.source == Source::Missing);
        missing.filter_map(|module| module.package.as_deref()).collect()
    }
}

/// Analyses a bundle. `None` where no interpreter of the language is here, or the language has none.
///
/// # Errors
/// A file of declarations that cannot be read or understood.
pub fn examine(files: &[LocalFile], runtime: &RuntimeName) -> anyhow::Result<Option<Report>> {
    let Some(language) = packages_of(runtime.language()).and_then(|known| known.reading) else { return Ok(None) };
    let (vendored, scanner) = (Vendored::find(files, language.declarations), language.imports.scanner());
    let own: Vec<&LocalFile> =
        files.iter().filter(|file| scanner.parses(&file.entry.path) && !vendored.holds(&file.entry.path)).collect();
    let Some(scan) = scan::run(&own, &scanner, runtime) else { return Ok(None) };
    let declared = Declared::read(files, language.declarations)?;
    let own_paths = files.iter().map(|file| file.entry.path.as_str()).filter(|path| !vendored.holds(path)).collect();
    Ok(Some(Analysis { language, own_paths, vendored: &vendored, scan, declared }.report()))
}

/// Whether the files of a function ask for a package. What cannot be read asks for none.
pub fn declares(files: &[LocalFile], runtime: &RuntimeName, package: &str) -> bool {
    packages_of(runtime.language())
        .and_then(|known| known.reading)
        .and_then(|language| Declared::read(files, language.declarations).ok())
        .is_some_and(|declared| declared.has(package))
}

// === impl Analysis ===

impl Analysis<'_> {
    fn report(self) -> Report {
        let mut modules: BTreeMap<(String, Option<String>), Imported> = BTreeMap::new();
        for import in &self.scan.imports {
            for providers in self.language.imports.providers(import) {
                let source = self.source(&providers, import);
                let ModuleProviders { module, packages, is_guess } = providers;
                let package = match source {
                    Source::Builtin | Source::Local => None,
                    Source::Declared => packages.into_iter().find(|name| self.declared.has(name)),
                    _ => packages.into_iter().next(),
                };
                let first = || Imported { source, is_guess, uses: BTreeSet::new() };
                let found = modules.entry((module, package)).or_insert_with(first);
                found.source = source.min(found.source);
                found.uses.insert(Use { file: import.file.clone(), line: import.line });
            }
        }
        let modules = modules.into_iter().map(|((module, package), Imported { source, is_guess, uses })| {
            let uses = uses.into_iter().take(USES_MAX).collect();
            Module { module, package, source, uses, is_guess }
        });
        let modules: Vec<Module> = modules.collect();
        let Self { language, scan, declared, .. } = self;
        let used: BTreeSet<String> =
            modules.iter().filter_map(|module| Some(declared.canonical(module.package.as_deref()?))).collect();
        let unused = declared.names().filter(|name| !used.contains(&declared.canonical(name)));
        let interpreter = language.imports.scanner().interpreter;
        Report {
            declared_in: declared.place().to_owned(),
            unused: unused.map(str::to_owned).collect(),
            remark: (!scan.exact).then(|| {
                format!("the code was read by {interpreter}, which is not the version that the function runs on")
            }),
            lookup: language.imports.lookup(),
            unread: scan.unread,
            modules,
            declared,
        }
    }

    /// Where a module comes from, in the order in which the runtime looks for it.
    fn source(&self, ModuleProviders { module, packages, .. }: &ModuleProviders, import: &Import) -> Source {
        if self.language.imports.is_builtin(module, &self.scan) {
            Source::Builtin
        } else if self.language.imports.is_local(module, &self.own_paths) {
            Source::Local
        } else if self.vendored.provides(module, packages) {
            Source::Bundled
        } else if packages.iter().any(|name| self.declared.has(name)) {
            Source::Declared
        } else if self.is_misplaced(module) {
            Source::Local
        } else if import.optional {
            Source::Optional
        } else {
            Source::Missing
        }
    }

    /// Whether the function has a file or directory of a module's name where the runtime does not look for it. On an index that
    /// name may be an unrelated package, which must not be proposed for a misplaced file.
    fn is_misplaced(&self, module: &str) -> bool {
        let first = module.split(['.', '/']).next().unwrap_or(module);
        let scanner = self.language.imports.scanner();
        self.own_paths.iter().filter(|path| scanner.parses(path)).any(|path| {
            let whole = path.replace('\\', "/");
            let stem = whole.rsplit_once('.').map_or(whole.as_str(), |(stem, _)| stem);
            stem.split('/').any(|part| part == first)
        })
    }
}

#[cfg(test)]
mod tests;
