//! Compares what came with what was expected.

use std::io;
use std::path::Path;

use faas_config::SourceDir;
use faas_terminal::failure::plain;
use serde_json::{Value, json};

use super::case::Case;
use super::observed::Observed;

/// Maximum number of differences that one comparison reports.
const PROBLEMS_MAX: usize = 10;
/// Characters of a value in a message.
const SHOWN_MAX: usize = 120;
/// Bytes of a snapshot: an answer, laid out.
const SNAPSHOT_MAX: u64 = 64 << 20;

/// What is not as expected, one sentence each.
pub(super) fn problems(case: &Case, seen: &Observed, update: bool) -> Vec<String> {
    let expect = &case.expect;
    let mut problems = Vec::new();
    match (expect.status, seen.status) {
        (Some(wanted), Some(status)) if wanted != status => {
            problems.push(format!("status: expected {wanted}, got {status}{}", seen.reason()));
        }
        (None, Some(status)) if status >= 400 && !expect.snapshot => {
            problems.push(format!("status: {status} is not expected{}", seen.reason()));
        }
        (Some(wanted), None) => problems.push(format!("status: expected {wanted}, got none{}", seen.reason())),
        _ => {}
    }
    if let Some(state) = seen.state
        && state != expect.state.unwrap_or(faas_types::RunState::Succeeded)
        && (expect.state.is_some() || expect.status.is_none())
    {
        let wanted = expect.state.unwrap_or(faas_types::RunState::Succeeded);
        problems.push(format!("state: expected {}, got {}{}", wanted.as_str(), state.as_str(), seen.reason()));
    }
    for (name, wanted) in &expect.headers {
        let found = seen.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        if found != Some(wanted) {
            let got = found.map_or_else(|| "none".to_owned(), |value| shown(&json!(value)));
            problems.push(format!("header {name}: expected {}, got {got}", shown(&json!(wanted))));
        }
    }
    if let Some(wanted) = &expect.json {
        compare("json", wanted, &seen.body, &mut problems);
    }
    if let Some(wanted) = &expect.text
        && seen.text.as_deref() != Some(wanted)
    {
        problems.push(format!("text: expected {}, got {}", shown(&json!(wanted)), shown(&json!(seen.text))));
    }
    if expect.snapshot {
        problems.extend(snapshot(case, seen, update));
    }
    problems.truncate(PROBLEMS_MAX);
    problems
}

/// An object holds at least the keys that are wanted, a list the same number of items.
fn compare(path: &str, wanted: &Value, found: &Value, problems: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            for (key, value) in wanted {
                match found.get(key) {
                    Some(inner) => compare(&format!("{path}.{key}"), value, inner, problems),
                    None => problems.push(format!("{path}.{key}: expected {}, got nothing", shown(value))),
                }
            }
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            for (index, (value, inner)) in wanted.iter().zip(found).enumerate() {
                compare(&format!("{path}[{index}]"), value, inner, problems);
            }
        }
        // 1 and 1.0 are one number, as they are in JavaScript.
        (Value::Number(wanted), Value::Number(found)) if wanted.as_f64() == found.as_f64() => {}
        _ if wanted == found => {}
        _ => problems.push(format!("{path}: expected {}, got {}", shown(wanted), shown(found))),
    }
}

/// Status and body as a file keeps them; the file is written with `update`.
fn snapshot(case: &Case, seen: &Observed, update: bool) -> Option<String> {
    let now = json!({ "status": seen.status, "body": seen.body });
    let shown_path = case.snapshot.display();
    if update {
        let written = write_snapshot(&case.snapshot, &now);
        return written.err().map(|error| format!("snapshot: cannot write {shown_path}: {}", plain(&error)));
    }
    let text = match read_snapshot(&case.snapshot) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Some(format!("snapshot: there is no {shown_path} yet; write it with --update"));
        }
        Err(error) => return Some(format!("snapshot: cannot read {shown_path}: {}", plain(&error))),
    };
    let Ok(before) = serde_json::from_str::<Value>(&text) else {
        return Some(format!("snapshot: {shown_path} is not JSON; write it anew with --update"));
    };
    (before != now)
        .then(|| format!("snapshot: expected {}, got {}; accept it with --update", shown(&before), shown(&now)))
}

/// Beneath the directory of the event file, which has the snapshots' directory beside it.
fn write_snapshot(path: &Path, now: &Value) -> io::Result<()> {
    let (dir, name) = (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_default());
    let source = SourceDir::open(dir.parent().unwrap_or(Path::new("")))?;
    let snapshots = source.create_dir(dir.file_name().unwrap_or_default())?;
    snapshots.write(name, (serde_json::to_string_pretty(now)? + "\n").as_bytes())
}

fn read_snapshot(path: &Path) -> io::Result<String> {
    let (dir, name) = (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_default());
    let source = SourceDir::open(dir.parent().unwrap_or(Path::new("")))?;
    source.text(Path::new(dir.file_name().unwrap_or_default()).join(name), SNAPSHOT_MAX)
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN_MAX {
        return text;
    }
    text.chars().take(SHOWN_MAX).collect::<String>() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(wanted: &Value, found: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        compare("json", wanted, found, &mut problems);
        problems
    }

    #[test]
    fn more_than_is_wanted_is_no_difference() {
        let found = json!({"a": 1, "b": {"c": [1, {"d": 2, "e": 3}]}});
        assert!(differences(&json!({"b": {"c": [1.0, {"d": 2}]}}), &found).is_empty());
        assert_eq!(
            differences(&json!({"b": {"c": [2, {"f": 0}]}, "a": "1"}), &found),
            [
                "json.b.c[0]: expected 2, got 1",
                "json.b.c[1].f: expected 0, got nothing",
                "json.a: expected \"1\", got 1"
            ]
        );
        assert_eq!(differences(&json!([1]), &json!([1, 2])).len(), 1);
        assert_eq!(differences(&json!({}), &Value::Null).len(), 1);
    }
}
