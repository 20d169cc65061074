//! Looks at source without running it: syntax, and the names a file defines.
//!
//! This needs an interpreter that is not older than the function's runtime. Without one the check is skipped: the server
//! loads the entrypoint anyway before it lets a version serve.

use std::path::Path;

use faas_client::LocalFile;
use faas_languages::{Language, SourceCheck, SourceTools};
use faas_types::{FunctionError, RuntimeName};
use serde::Deserialize;

use crate::interpreter;

/// Vendored packages can be thousands of files; the function's own come first.
const FILES_MAX: usize = 500;

/// What was seen in the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct SourceFindings {
    /// Files that do not parse.
    #[serde(default)]
    pub(crate) errors: Vec<FunctionError>,
    /// Top-level names of the entrypoint's file; absent where they cannot be known (`from x import *`).
    #[serde(default)]
    pub(crate) names: Option<Vec<String>>,
}

/// How the source of a language is checked on a developer's machine; `None` where it is not.
pub(crate) fn checker(language: &Language) -> Option<(&SourceTools, &SourceCheck)> {
    let tools = language.source.as_ref()?;
    Some((tools, tools.check.as_ref()?))
}

/// Parses the files of a bundle that are of the language. `None` when no fitting interpreter is here.
pub(crate) fn check(
    (language, tools, check): (&Language, &SourceTools, &SourceCheck),
    files: &[LocalFile],
    entry: &Path,
    runtime: &RuntimeName,
) -> Option<SourceFindings> {
    let is_source = |file: &&LocalFile| language.suffixes().any(|suffix| file.entry.path.ends_with(suffix));
    let mut sources: Vec<_> = files.iter().filter(is_source).collect();
    sources.sort_by_key(|file| (file.local != entry, file.entry.path.matches('/').count()));
    let input = interpreter::listing(sources.into_iter().take(FILES_MAX))?;
    let version = runtime.version();
    let arguments = language.arguments(&check.run, &[("version", version.unwrap_or(&check.version))]);
    tools.interpreters(version).find_map(|program| interpreter::ask(Path::new(&program), &arguments, &input))
}
