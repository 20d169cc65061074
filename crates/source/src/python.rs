//! Looks at Python source without running it: syntax, and the names a file defines.
//!
//! This needs an interpreter that is not older than the function's runtime. Without one the check is skipped: the server
//! loads the entrypoint anyway before it lets a version serve.

use std::path::{Path, PathBuf};

use faas_client::LocalFile;
use faas_languages::Language;
use faas_types::{FunctionError, RuntimeName};
use serde::Deserialize;

use crate::interpreter;

/// Reads paths from standard input and parses each file; never imports or runs any.
const CHECKER: &str = include_str!("../scripts/check.py");
/// Vendored packages can be thousands of files; the function's own come first.
const FILES_MAX: usize = 500;

/// Modules that are part of every CPython's program: no file of the same name is ever imported.
pub const BUILTIN: [&str; 11] =
    ["atexit", "builtins", "errno", "faulthandler", "gc", "itertools", "marshal", "posix", "pwd", "sys", "time"];

/// What was seen in the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Findings {
    /// Files that do not parse.
    #[serde(default)]
    pub errors: Vec<FunctionError>,
    /// Top-level names of the entrypoint's file; absent where they cannot be known (`from x import *`).
    #[serde(default)]
    pub names: Option<Vec<String>>,
}

/// Whether the source is of a kind that can be checked here.
pub fn can_check(language: &Language) -> bool {
    language.suffixes().any(|suffix| suffix == ".py")
}

/// Parses a bundle's Python files. `None` when no fitting interpreter is here.
pub fn check(files: &[LocalFile], entry: &Path, runtime: &RuntimeName) -> Option<Findings> {
    let mut sources: Vec<_> = files.iter().filter(|file| file.entry.path.ends_with(".py")).collect();
    sources.sort_by_key(|file| (file.local != entry, file.entry.path.matches('/').count()));
    let input = interpreter::listing(sources.into_iter().take(FILES_MAX))?;
    let version = runtime.version().unwrap_or("3");
    interpreters(runtime)
        .iter()
        .find_map(|program| interpreter::ask(program, &["-I", "-S", "-c", CHECKER, version], &input))
}

fn interpreters(runtime: &RuntimeName) -> Vec<PathBuf> {
    let exact = runtime.version().map(|version| format!("python{version}").into());
    exact.into_iter().chain([PathBuf::from("python3")]).collect()
}

/// Prints the directory of a package, as its interpreter finds it. What lies in the working directory does not count.
const FINDER: &str = "\
import sys
if sys.path[:1] == ['']:
    del sys.path[0]
import importlib.util, json
spec = importlib.util.find_spec(sys.argv[1])
print(json.dumps(list(spec.submodule_search_locations)[0]))
";
/// Where VS Code keeps the debugger that it brings along.
const EDITORS: [&str; 2] = [".vscode/extensions", ".vscode-server/extensions"];

/// The directory of an installed package: of the interpreters that were named, those on the path, or an editor's own copy.
pub fn package(name: &str, runtime: &RuntimeName, named: &[PathBuf]) -> Option<PathBuf> {
    let programs = named.iter().filter(|path| path.is_file()).cloned().chain(interpreters(runtime));
    let mut installed = programs.filter_map(|program| interpreter::ask::<PathBuf>(&program, &["-c", FINDER, name], ""));
    installed.find(|path| path.is_dir()).or_else(|| of_an_editor(name))
}

fn of_an_editor(name: &str) -> Option<PathBuf> {
    let home = PathBuf::from(std::env::var_os("HOME")?);
    let extensions = EDITORS.iter().filter_map(|place| std::fs::read_dir(home.join(place)).ok()).flatten();
    let copies = extensions.filter_map(|entry| Some(entry.ok()?.path().join("bundled/libs").join(name)));
    copies.filter(|path| path.join("__init__.py").is_file()).max()
}
