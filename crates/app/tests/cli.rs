//! Runs the folders below `tests/cli` against the real binary. These need no server; what needs one is in
//! `tests/product`.
//!
//! A folder holds `case.toml` and perhaps `files/`, which becomes the working directory. Each `[[step]]` has `args`, the
//! `exit` code, and texts that `stdout` and `stderr` must hold; an empty list demands an empty stream.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use toml::{Table, Value};

/// Port 1 of the loopback interface: reserved, and nobody listens.
const NOBODY: &str = "http://127.0.0.1:1";

#[test]
fn every_case_holds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cli");
    let mut cases: Vec<PathBuf> = fs::read_dir(&root)
        .expect("there are cases")
        .map(|entry| entry.expect("a readable directory").path())
        .filter(|path| path.join("case.toml").is_file())
        .collect();
    cases.sort();
    assert!(cases.len() >= 20, "{} has only {} cases", root.display(), cases.len());
    let failures: Vec<String> = cases.iter().flat_map(|case| run_case(case)).collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// What does not hold in a case.
fn run_case(case: &Path) -> Vec<String> {
    let place = tempfile::tempdir().expect("a temporary directory");
    let work = place.path().join("work");
    fs::create_dir(&work).expect("a fresh directory");
    if case.join("files").is_dir() {
        copy(&case.join("files"), &work).expect("the files can be copied");
    }
    let text = fs::read_to_string(case.join("case.toml")).expect("the case is readable");
    let table: Table = text.parse().unwrap_or_else(|error| panic!("{}: {error}", case.display()));
    let steps = table.get("step").and_then(Value::as_array).expect("a case has steps");
    let name = case.file_name().unwrap_or_default().to_string_lossy();
    steps.iter().filter_map(|step| run_step(step, place.path(), &work).map(|why| format!("{name}: {why}"))).collect()
}

fn run_step(step: &Value, home: &Path, work: &Path) -> Option<String> {
    let args = texts(step, "args").expect("a step has args");
    let output = faas(&args, home, work);
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (said(&output.stdout), said(&output.stderr));
    let mut wrong = Vec::new();
    let exit = step.get("exit").and_then(Value::as_integer).expect("a step has an exit code");
    if output.status.code().map(i64::from) != Some(exit) {
        wrong.push(format!("ended with {:?} instead of {exit}", output.status.code()));
    }
    for (stream, text) in [("stdout", &stdout), ("stderr", &stderr)] {
        let Some(wanted) = texts(step, stream) else { continue };
        if wanted.is_empty() && !text.is_empty() {
            wrong.push(format!("{stream} is not empty"));
        }
        wrong.extend(wanted.iter().filter(|part| !text.contains(*part)).map(|part| format!("{stream} lacks `{part}`")));
    }
    let seen = format!("--- stdout\n{stdout}--- stderr\n{stderr}");
    (!wrong.is_empty()).then(|| format!("faas {}: {}\n{seen}", args.join(" "), wrong.join(", ")))
}

fn faas(args: &[String], home: &Path, work: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_faas"))
        .args(args)
        .current_dir(work)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("FAAS_ENDPOINT", NOBODY)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

fn texts(step: &Value, key: &str) -> Option<Vec<String>> {
    let list = step.get(key)?.as_array()?;
    Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// Copies a tree; symbolic links stay links.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target, kind) = (entry.path(), to.join(entry.file_name()), entry.file_type()?);
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
        } else if kind.is_dir() {
            fs::create_dir(&target)?;
            copy(&source, &target)?;
        } else {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}
