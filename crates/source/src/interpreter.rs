//! Asks a language's own interpreter about files. It parses them; nothing of them is run.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use faas_client::LocalFile;
use faas_languages::Language;
use serde::de::DeserializeOwned;

use crate::helper;

/// The files as our programs read them, one a line: where it is here, a tab, where it is in the bundle. `None` where a path
/// cannot be told so.
pub fn listing<'f>(files: impl IntoIterator<Item = &'f LocalFile>) -> Option<String> {
    let mut listing = String::new();
    for file in files {
        // A path with a newline has been refused as part of a bundle; what leads to the bundle may still hold one.
        let local = file.local.to_str().filter(|local| !local.contains(['\n', '\t']))?;
        listing.push_str(&format!("{local}\t{}\n", file.entry.path));
    }
    Some(listing)
}

/// What a program answers to `input`. `None` where it is not here or cannot answer.
pub fn ask<T: DeserializeOwned>(program: &Path, args: &[impl AsRef<OsStr>], input: &str) -> Option<T> {
    let mut command = helper::limited(program);
    let unset = Language::all().iter().filter_map(|language| language.source.as_ref()).flat_map(|tools| &tools.unset);
    for name in unset {
        command.env_remove(name);
    }
    let mut child =
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    // Our programs read all before they write, so neither side can block on a full pipe.
    let written = child.stdin.take().is_some_and(|mut stdin| stdin.write_all(input.as_bytes()).is_ok());
    let output = child.wait_with_output().ok()?;
    (written && output.status.success()).then(|| serde_json::from_slice(&output.stdout).ok()).flatten()
}
