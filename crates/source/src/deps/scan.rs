//! Lets the language's own interpreter parse files for their imports. It runs none of them.

use std::path::{Path, PathBuf};

use faas_client::LocalFile;
use faas_packages::{ImportScan, ImportScanner};
use faas_types::RuntimeName;

use crate::interpreter;

/// Files that are parsed.
const FILES_MAX: usize = 2_000;

/// Scans files. `None` when no interpreter is here.
pub(super) fn run(files: &[&LocalFile], scanner: &ImportScanner, runtime: &RuntimeName) -> Option<ImportScan> {
    let input = interpreter::listing(files.iter().copied().take(FILES_MAX))?;
    let version = runtime.version();
    let exact = version.map(|version| PathBuf::from(format!("{}{version}", scanner.interpreter)));
    let programs = exact.into_iter().chain([PathBuf::from(scanner.interpreter)]);
    programs.into_iter().find_map(|program| scan_with(&program, scanner, version.unwrap_or_default(), &input))
}

fn scan_with(program: &Path, scanner: &ImportScanner, version: &str, input: &str) -> Option<ImportScan> {
    let args: Vec<&str> = scanner.args.iter().copied().chain([version]).collect();
    interpreter::ask(program, &args, input)
}
