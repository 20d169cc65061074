//! What hints, errors and help tell to type is tried: each command is read by the command line itself, each setting and key
//! is one that there is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use faas_config::{manifest_schema, unknown_variables};
use serde_json::Value;

use crate::args::Cli;

/// Where texts for people are written.
const SOURCES: [&str; 9] = [
    "crates",
    "shims",
    "examples",
    "README.md",
    "docs/guides",
    "docs/errors",
    "docs/limits.md",
    "docs/caching.md",
    "docs/observability.md",
];
/// Words of specifications and of examples that show what else is taken.
const OTHER_WORDS: [&str; 1] = ["env"];
/// Variables that functions get or that scripts, hooks and tests read, which are no settings of a server.
const OTHERS: [&str; 15] = [
    "FAAS_A",
    "FAAS_FUNCTION",
    "FAAS_FUNCTION_NAME",
    "FAAS_FUNCTION_VERSION",
    "FAAS_KEY",
    "FAAS_MEMORY_MB",
    "FAAS_PROGRAM",
    "FAAS_PROJECT",
    "FAAS_REGION",
    "FAAS_RUNTIME",
    "FAAS_STAGE",
    "FAAS_URL",
    "FAAS_VERSION",
    "FAAS_X",
    "FAAS_XYZZY",
];
const OTHER_PREFIXES: [&str; 4] = ["FAAS_BENCH_", "FAAS_GIT_", "FAAS_SEED", "FAAS_SIM_"];

/// Every file with texts, and what is in it.
fn files() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut todo: Vec<PathBuf> = SOURCES.iter().map(|source| root.join(source)).collect();
    let mut files = Vec::new();
    while let Some(path) = todo.pop() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            let is_ours = !["tests", "target", "node_modules", "templates", "vendor"].contains(&name.as_str());
            let entries = is_ours.then(|| fs::read_dir(&path).expect("a directory")).into_iter().flatten();
            todo.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if name != "advice_tests.rs"
            && ["rs", "py", "js", "md"].iter().any(|ending| name.ends_with(&format!(".{ending}")))
        {
            files.push((path.clone(), fs::read_to_string(&path).expect("text")));
        }
    }
    files
}

/// What is said to people: no comments, no tests, and strings that go over several lines on one.
fn said(path: &Path, text: &str) -> Vec<String> {
    if path.extension().is_some_and(|ending| ending == "md") {
        return text.lines().map(str::to_owned).collect();
    }
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let is_comment = |line: &&str| ["//", "#", "*"].iter().any(|start| line.trim_start().starts_with(start));
    let mut lines: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in text.lines().filter(|line| !is_comment(line)) {
        match lines.last_mut().filter(|_| goes_on) {
            Some(last) => last.push_str(line.trim_start()),
            None => lines.push(line.to_owned()),
        }
        goes_on = lines.last().is_some_and(|last| last.ends_with('\\'));
        if goes_on && let Some(last) = lines.last_mut() {
            last.pop();
        }
    }
    lines
}

/// The commands in a line: in backticks, or behind a colon up to the end of the sentence.
fn commands(line: &str) -> Vec<String> {
    let quoted = line.split('`').skip(1).step_by(2).filter(|part| part.starts_with("faas ")).map(str::to_owned);
    let told = line.match_indices(": faas ").map(|(at, _)| {
        let rest = &line[at + 2..];
        rest.split(['"', ';', '`', '\\']).next().unwrap_or(rest).trim_end().to_owned()
    });
    quoted.chain(told).collect()
}

/// A command's words, with something in place of what a text fills in. `None` where that hides the command itself.
fn words(command: &str) -> Option<Vec<String>> {
    let unquoted = command.split('\'').enumerate().map(|(at, part)| if at % 2 == 0 { part } else { "quoted" });
    let plain: String = unquoted.collect();
    let first = [", or ", " && ", " | ", " < ", " > ", "  "]
        .iter()
        .fold(&*plain, |rest, end| rest.split(end).next().unwrap_or(rest));
    let mut words: Vec<String> = Vec::new();
    for word in first.split_whitespace() {
        let filled = match (word.find('{'), word.rfind('}')) {
            (Some(0), Some(to)) => format!("one{}", &word[to + 1..]),
            // Behind a word it adds more words, or none.
            (Some(from), Some(to)) if from < to => format!("{}{}", &word[..from], &word[to + 1..]),
            _ => word.to_owned(),
        };
        words.push(filled.trim_matches(['"', ',', '.']).replace(['[', ']'], ""));
    }
    (!["one", "…", "..."].contains(&words.get(1)?.as_str())).then_some(words)
}

#[test]
fn every_command_that_is_told_is_one() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (path, text) in files() {
        for command in said(&path, &text).iter().flat_map(|line| commands(line)) {
            let Some(words) = words(&command) else { continue };
            count += 1;
            if let Some(word) = other_word(&Cli::command(), &words) {
                wrong.push(format!("{}: {command}: `{word}` is not the command's own name", path.display()));
            }
            let Err(error) = Cli::try_parse_from(words) else { continue };
            // A command may be named without what it takes, and what stands for a value need not be one.
            if matches!(
                error.kind(),
                ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand | ErrorKind::TooManyValues
            ) {
                wrong.push(format!("{}: {command}: {}", path.display(), error.kind()));
            }
        }
    }
    assert!(count > 100, "only {count} commands were found: the search is broken");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The first word that names a command by another word than its name.
fn other_word(root: &clap::Command, words: &[String]) -> Option<String> {
    let mut command = root;
    for word in words.iter().skip(1) {
        let Some(next) = command.find_subcommand(word) else { break };
        if next.get_name() != word && !OTHER_WORDS.contains(&word.as_str()) {
            return Some(word.clone());
        }
        command = next;
    }
    None
}

#[test]
fn every_setting_that_is_told_is_one() {
    let mut names = BTreeSet::new();
    for (path, text) in files() {
        for line in said(&path, &text) {
            let words = line.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
            let settings = words.filter(|word| word.starts_with("FAAS_") && !word.ends_with('_'));
            let is_other =
                |word: &&str| OTHERS.contains(word) || OTHER_PREFIXES.iter().any(|prefix| word.starts_with(prefix));
            names.extend(settings.filter(|word| !is_other(word)).map(str::to_owned));
        }
    }
    assert!(names.len() > 10, "{names:?}");
    assert_eq!(unknown_variables(names), []);
}

#[test]
fn every_key_of_the_manifest_that_is_told_is_one() {
    let schema = serde_json::to_value(manifest_schema()).expect("JSON");
    let mut keys = BTreeSet::new();
    properties(&schema, &mut keys);
    let mut wrong = Vec::new();
    let mut count = 0;
    for (path, text) in files() {
        for line in said(&path, &text) {
            for place in ["` in faas.toml", "` in the manifest", "` of the manifest"] {
                for (at, _) in line.match_indices(place) {
                    let key = line[..at].rsplit('`').next().unwrap_or_default();
                    let name = key.split(['=', ' ']).next().unwrap_or_default().rsplit('.').next().unwrap_or_default();
                    let is_key = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
                    count += usize::from(is_key);
                    if is_key && !keys.contains(name) {
                        wrong.push(format!("{}: {key}", path.display()));
                    }
                }
            }
        }
    }
    assert!(count > 5, "only {count} keys were found: the search is broken");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The names of all properties of a schema.
fn properties(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(table) => {
            let own = table.get("properties").and_then(Value::as_object);
            names.extend(own.into_iter().flat_map(|own| own.keys().cloned()));
            table.values().for_each(|value| properties(value, names));
        }
        Value::Array(list) => list.iter().for_each(|value| properties(value, names)),
        _ => {}
    }
}
