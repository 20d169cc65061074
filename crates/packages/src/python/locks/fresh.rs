//! Whether a lock is up to date with its project: each tool stores in the lock what the project asked for, or a hash of it.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use toml::Table;

use super::names::{Requirement, canonical};
use super::version::Specifier;
use super::{Refusal, from_toml};

/// A requirement as `uv.lock` keeps it.
#[derive(Deserialize)]
pub(super) struct Required {
    name: String,
    #[serde(default)]
    extras: Vec<String>,
    specifier: Option<String>,
    marker: Option<String>,
}

/// A name with extras and version conditions, in canonical form.
type Asked = (String, BTreeSet<String>, BTreeSet<String>);

/// uv keeps the requirements. Markers are left out of the comparison: it writes them in a form of its own.
pub(super) fn check_uv(project: &str, required: &[Required]) -> Result<(), Refusal> {
    let project: Table = from_toml_of_project(project)?;
    let Some(project) = project.get("project") else { return Ok(()) };
    let is_dynamic = project.get("dynamic").and_then(toml::Value::as_array);
    if is_dynamic.is_some_and(|keys| keys.iter().any(|key| key.as_str() == Some("dependencies"))) {
        return Ok(());
    }
    let mut asked: BTreeSet<Asked> = BTreeSet::new();
    for line in project.get("dependencies").and_then(toml::Value::as_array).into_iter().flatten() {
        // A requirement that cannot be compared does not make the lock stale.
        let Some(requirement) = line.as_str().and_then(Requirement::parse) else { return Ok(()) };
        let Some(versions) = specifiers(requirement.versions) else { return Ok(()) };
        asked.insert((requirement.name, requirement.extras.into_iter().collect(), versions));
    }
    let mut locked = BTreeSet::new();
    for Required { name, extras, specifier, marker } in required {
        if marker.as_deref().is_some_and(|marker| marker.contains("extra")) {
            continue;
        }
        let Some(versions) = specifiers(specifier.as_deref().unwrap_or_default()) else { return Ok(()) };
        let extras: BTreeSet<String> = extras.iter().map(|extra| canonical(extra)).collect();
        locked.insert((canonical(name), extras, versions));
    }
    match asked.symmetric_difference(&locked).next() {
        Some((name, ..)) => Err(stale("pyproject.toml", &format!(" (`{}`)", super::shown(name)))),
        None => Ok(()),
    }
}

fn specifiers(text: &str) -> Option<BTreeSet<String>> {
    Some(Specifier::parse_all(text)?.iter().map(ToString::to_string).collect())
}

/// Poetry hashes some keys; which ones depends on the project and on Poetry's release.
pub(super) fn check_poetry(project: &str, hash: &str) -> Result<(), Refusal> {
    let Some(project) = json_of_project(project)? else { return Ok(()) };
    let variants = [
        poetry_content(&project, true),
        poetry_content(&project, false),
        poetry_content(&json!({ "tool": project["tool"] }), false),
    ];
    if variants.iter().any(|content| hex_hash(content, ", ", ": ") == hash) {
        return Ok(());
    }
    Err(stale("pyproject.toml", ""))
}

fn poetry_content(project: &Value, with_groups: bool) -> Value {
    let present = |from: &Value, keys: &[&str]| -> Map<String, Value> {
        let pairs = keys.iter().filter_map(|key| Some(((*key).to_owned(), from.get(*key)?.clone())));
        pairs.collect()
    };
    let own = present(&project["project"], &["requires-python", "dependencies", "optional-dependencies"]);
    let groups = project.get("dependency-groups").filter(|groups| with_groups && *groups != &json!({}));
    let poetry = &project["tool"]["poetry"];
    let mut legacy = present(poetry, &["dependencies", "source", "extras", "dev-dependencies", "group"]);
    if own.is_empty() && groups.is_none() {
        for key in ["dependencies", "source", "extras", "dev-dependencies"] {
            legacy.entry(key).or_insert(Value::Null);
        }
        return Value::Object(legacy);
    }
    let mut content = json!({ "tool": { "poetry": legacy } });
    if !own.is_empty() {
        content["project"] = Value::Object(own);
    }
    if let Some(groups) = groups {
        content["dependency-groups"] = groups.clone();
    }
    content
}

/// PDM hashes what it calls the sensible content. That of a workspace has parts that are not here.
pub(super) fn check_pdm(project: &str, lock_version: &str, hash: &str) -> Result<(), Refusal> {
    let (Some(project), Some(hash)) = (json_of_project(project)?, hash.strip_prefix("sha256:")) else { return Ok(()) };
    let pdm = &project["tool"]["pdm"];
    if !lock_version.starts_with("4.5") || !pdm["workspace"].is_null() {
        return Ok(());
    }
    let or = |value: &Value, otherwise: Value| if value.is_null() { otherwise } else { value.clone() };
    let mut groups: Map<String, Value> = Map::new();
    for from in [&project["dependency-groups"], &pdm["dev-dependencies"]] {
        for (name, lines) in from.as_object().into_iter().flatten() {
            match groups.entry(canonical(name)).or_insert_with(|| json!([])) {
                Value::Array(all) => all.extend(lines.as_array().into_iter().flatten().cloned()),
                _ => return Ok(()),
            }
        }
    }
    let own = &project["project"];
    let content = json!({
        "sources": or(&pdm["source"], json!([])),
        "dependencies": or(&own["dependencies"], json!([])),
        "dev-dependencies": groups,
        "optional-dependencies": or(&own["optional-dependencies"], json!({})),
        "requires-python": or(&own["requires-python"], json!("")),
        "resolution": or(&pdm["resolution"], json!({})),
    });
    if hex_hash(&content, ", ", ": ") == hash { Ok(()) } else { Err(stale("pyproject.toml", "")) }
}

/// Pipenv hashes the whole file but its settings and scripts.
pub(super) fn check_pipfile(project: &str, hash: &str) -> Result<(), Refusal> {
    const OTHERS: [&str; 8] =
        ["source", "packages", "dev-packages", "requires", "scripts", "pipfile", "pipenv", "default"];
    let table: Table = toml::from_str(project).map_err(|error| {
        Refusal::whole(&format!("belongs to a Pipfile that cannot be read: {}", super::shown(error.message())))
    })?;
    let Some(file) = plain(&toml::Value::Table(table)) else { return Ok(()) };
    let or = |value: &Value, otherwise: Value| if value.is_null() { otherwise } else { value.clone() };
    let usual = json!([{ "name": "pypi", "url": "https://pypi.org/simple", "verify_ssl": true }]);
    let mut content = json!({
        "_meta": { "sources": or(&file["source"], usual), "requires": or(&file["requires"], json!({})) },
        "default": or(&file["packages"], json!({})),
        "develop": or(&file["dev-packages"], json!({})),
    });
    for (category, packages) in file.as_object().into_iter().flatten() {
        if !OTHERS.contains(&category.as_str()) && category != "develop" {
            content[category.as_str()] = packages.clone();
        }
    }
    if hex_hash(&content, ",", ":") == hash { Ok(()) } else { Err(stale("Pipfile", "")) }
}

fn stale(project: &str, what: &str) -> Refusal {
    Refusal::stale(&format!("does not agree with {project}{what}, which was changed after the lock was made"))
}

fn from_toml_of_project(project: &str) -> Result<Table, Refusal> {
    from_toml(project)
        .map_err(|refusal| Refusal { why: format!("belongs to a pyproject.toml that {}", refusal.why), ..refusal })
}

/// `None` for values that JSON cannot represent, which the tools do not hash.
fn json_of_project(project: &str) -> Result<Option<Value>, Refusal> {
    Ok(plain(&toml::Value::Table(from_toml_of_project(project)?)))
}

/// As JSON, unless it has dates or fractions: JSON has no dates, and a fraction can be written in several ways.
fn plain(value: &toml::Value) -> Option<Value> {
    Some(match value {
        toml::Value::String(text) => Value::String(text.clone()),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Boolean(is) => json!(is),
        toml::Value::Array(all) => Value::Array(all.iter().map(plain).collect::<Option<_>>()?),
        toml::Value::Table(table) => {
            let pairs = table.iter().map(|(key, value)| Some((key.clone(), plain(value)?)));
            Value::Object(pairs.collect::<Option<_>>()?)
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) => return None,
    })
}

fn hex_hash(content: &Value, comma: &str, colon: &str) -> String {
    let mut text = String::new();
    write(content, comma, colon, &mut text);
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// JSON as Python's `json.dumps` writes it with sorted keys: ASCII only.
fn write(value: &Value, comma: &str, colon: &str, text: &mut String) {
    match value {
        Value::String(string) => write_string(string, text),
        Value::Array(all) => {
            text.push('[');
            for (at, one) in all.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { comma });
                write(one, comma, colon, text);
            }
            text.push(']');
        }
        Value::Object(pairs) => {
            let mut pairs: Vec<_> = pairs.iter().collect();
            pairs.sort_by_key(|(key, _)| key.as_str());
            text.push('{');
            for (at, (key, value)) in pairs.into_iter().enumerate() {
                text.push_str(if at == 0 { "" } else { comma });
                write_string(key, text);
                text.push_str(colon);
                write(value, comma, colon, text);
            }
            text.push('}');
        }
        other => text.push_str(&other.to_string()),
    }
}

fn write_string(string: &str, text: &mut String) {
    text.push('"');
    for letter in string.chars() {
        match letter {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            ' '..='~' => text.push(letter),
            other => other.encode_utf16(&mut [0; 2]).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    text.push('"');
}
