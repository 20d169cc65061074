//! Has the language's own interpreter tell what files import. It parses them and runs nothing of them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use faas_client::LocalFile;
use faas_types::RuntimeName;
use serde::Deserialize;

use crate::deps::packages::Ecosystem;
use crate::interpreter;

const PYTHON: &str = include_str!("../../templates/imports.py");
const NODE: &str = include_str!("../../templates/imports.cjs");
/// The function's own files are rarely more.
const FILES_MAX: usize = 2_000;

/// One import.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Import {
    /// As it is written: `google.cloud`, `@scope/package/part`.
    pub(super) module: String,
    /// What is taken out of it, each of which may be a module.
    pub(super) names: Vec<String>,
    pub(super) file: String,
    pub(super) line: u32,
    /// Whether the code goes on without it.
    pub(super) optional: bool,
}

/// What an interpreter saw.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Scan {
    /// Whether it is of the function's own version.
    pub(super) exact: bool,
    /// Modules that come with the runtime.
    pub(super) builtin: HashSet<String>,
    pub(super) imports: Vec<Import>,
    /// Files that do not parse.
    pub(super) unread: Vec<String>,
}

/// Scans files. `None` when no interpreter is here.
pub(super) fn run(files: &[&LocalFile], ecosystem: Ecosystem, runtime: &RuntimeName) -> Option<Scan> {
    let input = interpreter::listing(files.iter().copied().take(FILES_MAX))?;
    let version = runtime.version();
    let exact = version.map(|version| PathBuf::from(format!("{}{version}", ecosystem.program())));
    let programs = exact.into_iter().chain([PathBuf::from(ecosystem.program())]);
    programs.into_iter().find_map(|program| scan_with(&program, ecosystem, version.unwrap_or_default(), &input))
}

fn scan_with(program: &Path, ecosystem: Ecosystem, version: &str, input: &str) -> Option<Scan> {
    let mut args: Vec<&str> = match ecosystem {
        Ecosystem::Python => vec!["-I", "-S", "-c", PYTHON],
        Ecosystem::Node => vec!["--experimental-vm-modules", "--no-warnings", "-e", NODE, "--"],
    };
    args.push(version);
    interpreter::ask(program, &args, input)
}
