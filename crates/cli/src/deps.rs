//! What a function's code imports, beside what it says it needs.

mod beside;
mod declared;
mod packages;
mod proposals;
mod scan;

use std::collections::{BTreeMap, BTreeSet};

use faas_client::LocalFile;
use faas_types::RuntimeName;
use serde::Serialize;

use crate::deps::beside::Beside;
pub(crate) use crate::deps::declared::Declared;
use crate::deps::packages::{Ecosystem, canonical};
pub(crate) use crate::deps::proposals::Advisor;
use crate::deps::scan::{Import, Scan};

/// Places that are told of one module.
const USES_MAX: usize = 20;

/// Where a module comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// From nowhere that is known.
    Missing,
    /// From nowhere, but the code goes on without it.
    Optional,
    /// From a package that is declared.
    Declared,
    /// From a package that lies beside the code.
    Bundled,
    /// From the function's own files.
    Local,
    /// From the runtime.
    Builtin,
}

/// A line that imports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Use {
    pub(crate) file: String,
    pub(crate) line: u32,
}

/// A module that the code imports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Module {
    pub(crate) module: String,
    /// The package that brings it; absent for what no package brings.
    pub(crate) package: Option<String>,
    pub(crate) source: Source,
    /// The first places.
    pub(crate) uses: Vec<Use>,
}

/// What the code imports and what is declared.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// The file that declares packages, or the one that would.
    pub(crate) declared_in: String,
    pub(crate) modules: Vec<Module>,
    /// Declared packages that no import names. Another package may want them all the same.
    pub(crate) unused: Vec<String>,
    /// Files that do not parse.
    pub(crate) unread: Vec<String>,
    /// What of the analysis is not exact, for people.
    pub(crate) remark: Option<String>,
    #[serde(skip)]
    pub(crate) declared: Declared,
}

// === impl Module ===

impl Module {
    /// Whether its package is only taken to be named as the module is.
    fn is_guess(&self) -> bool {
        self.package.as_deref() == Some(&packages::guess(&self.module))
    }
}

// === impl Report ===

impl Report {
    /// Packages that the code needs and nobody brings, each once.
    pub(crate) fn missing(&self) -> BTreeSet<&str> {
        let missing = self.modules.iter().filter(|module| module.source == Source::Missing);
        missing.filter_map(|module| module.package.as_deref()).collect()
    }
}

/// Analyses a bundle. `None` where no interpreter of the language is here, or the language has none.
///
/// # Errors
/// A file of declarations that cannot be read or understood.
pub(crate) fn examine(files: &[LocalFile], runtime: &RuntimeName) -> anyhow::Result<Option<Report>> {
    let Some(ecosystem) = Ecosystem::of(runtime.language()) else { return Ok(None) };
    let beside = Beside::find(files, ecosystem);
    let own: Vec<&LocalFile> =
        files.iter().filter(|file| ecosystem.is_source(&file.entry.path) && !beside.holds(&file.entry.path)).collect();
    let Some(scan) = scan::run(&own, ecosystem, runtime) else { return Ok(None) };
    let declared = Declared::read(files, ecosystem)?;
    Ok(Some(compare(files, &beside, scan, declared, ecosystem)))
}

/// Whether the files of a Python function ask for a package. What cannot be read asks for none.
pub(crate) fn declares(files: &[LocalFile], package: &str) -> bool {
    Declared::read(files, Ecosystem::Python).is_ok_and(|declared| declared.has(package))
}

fn compare(files: &[LocalFile], beside: &Beside, scan: Scan, declared: Declared, ecosystem: Ecosystem) -> Report {
    let mut found: BTreeMap<(String, Option<String>), (Source, BTreeSet<Use>)> = BTreeMap::new();
    for import in &scan.imports {
        for (module, candidates) in ecosystem.providers(import) {
            let source = source(&module, &candidates, import, files, beside, &scan, &declared, ecosystem);
            let package = match source {
                Source::Builtin | Source::Local => None,
                Source::Declared => candidates.iter().find(|name| declared.has(name)).cloned(),
                _ => candidates.first().cloned(),
            };
            let (known, uses) = found.entry((module, package)).or_insert_with(|| (source, BTreeSet::new()));
            *known = source.min(*known);
            uses.insert(Use { file: import.file.clone(), line: import.line });
        }
    }
    let modules: Vec<Module> = found
        .into_iter()
        .map(|((module, package), (source, uses))| {
            let uses = uses.into_iter().take(USES_MAX).collect();
            Module { module, package, source, uses }
        })
        .collect();
    let used: BTreeSet<String> =
        modules.iter().filter_map(|module| module.package.as_deref()).map(|name| canonical(name, ecosystem)).collect();
    Report {
        declared_in: declared.place(ecosystem).to_owned(),
        unused: declared
            .names()
            .filter(|name| !used.contains(&canonical(name, ecosystem)))
            .map(str::to_owned)
            .collect(),
        remark: (!scan.exact).then(|| {
            format!("the code was read by {}, which is not the version that the function runs on", ecosystem.program())
        }),
        unread: scan.unread,
        modules,
        declared,
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "what is known of one import, asked in the order of who wins at run time"
)]
fn source(
    module: &str,
    candidates: &[String],
    import: &Import,
    files: &[LocalFile],
    beside: &Beside,
    scan: &Scan,
    declared: &Declared,
    ecosystem: Ecosystem,
) -> Source {
    if ecosystem.is_builtin(module, scan) {
        Source::Builtin
    } else if ecosystem.is_local(module, files, beside) {
        Source::Local
    } else if beside.brings(module, candidates) {
        Source::Bundled
    } else if candidates.iter().any(|name| declared.has(name)) {
        Source::Declared
    } else if packages::is_misplaced(module, files, beside, ecosystem) {
        Source::Local
    } else if import.optional {
        Source::Optional
    } else {
        Source::Missing
    }
}

#[cfg(test)]
mod tests;
