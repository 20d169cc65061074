//! Looks at Python source without running it: syntax, and the names a file defines.
//!
//! This needs an interpreter that is not older than the function's runtime. Without one the check is skipped: the server
//! loads the entrypoint anyway before it lets a version serve.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use faas_client::LocalFile;
use faas_config::Language;
use faas_types::{FunctionError, RuntimeName};
use serde::Deserialize;

/// Reads paths from standard input and parses each file; never imports or runs any.
const CHECKER: &str = include_str!("../templates/check.py");
/// Vendored packages can be thousands of files; the function's own come first.
const FILES_MAX: usize = 500;

/// What was seen in the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Findings {
    /// Files that do not parse.
    #[serde(default)]
    pub(crate) errors: Vec<FunctionError>,
    /// Top-level names of the entrypoint's file; absent where they cannot be known (`from x import *`).
    #[serde(default)]
    pub(crate) names: Option<Vec<String>>,
}

/// Whether the source is of a kind that can be checked here.
pub(crate) fn can_check(language: &Language) -> bool {
    language.suffixes().any(|suffix| suffix == ".py")
}

/// Parses a bundle's Python files. `None` when no fitting interpreter is here.
pub(crate) fn check(files: &[LocalFile], entry: &Path, runtime: &RuntimeName) -> Option<Findings> {
    let mut sources: Vec<_> = files.iter().filter(|file| file.entry.path.ends_with(".py")).collect();
    sources.sort_by_key(|file| (file.local != entry, file.entry.path.matches('/').count()));
    let mut input = String::new();
    for file in sources.iter().take(FILES_MAX) {
        // A path with a newline has been refused as part of a bundle; what leads to the bundle may still hold one.
        let local = file.local.to_str().filter(|local| !local.contains(['\n', '\t']))?;
        input.push_str(&format!("{local}\t{}\n", file.entry.path));
    }
    interpreters(runtime).iter().find_map(|program| parse_with(program, &input, runtime))
}

fn interpreters(runtime: &RuntimeName) -> Vec<PathBuf> {
    let exact = runtime.version().map(|version| format!("python{version}").into());
    exact.into_iter().chain([PathBuf::from("python3")]).collect()
}

fn parse_with(program: &Path, input: &str, runtime: &RuntimeName) -> Option<Findings> {
    let mut child = Command::new(program)
        .args(["-I", "-S", "-c", CHECKER, runtime.version().unwrap_or("3")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    // The checker reads all before it writes, so neither side can block on a full pipe.
    let written = child.stdin.take().is_some_and(|mut stdin| stdin.write_all(input.as_bytes()).is_ok());
    let output = child.wait_with_output().ok()?;
    (written && output.status.success()).then(|| serde_json::from_slice(&output.stdout).ok()).flatten()
}
