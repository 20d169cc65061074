//! `bun.lock`: JSON with commas before brackets. Its keys are places already. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::graph::{Package, Platform, Wrong, is_name, split};
use super::plan::{Place, Plan, below};
use super::project::Project;

/// The command that updates the lock.
const MEND: &str = "bun install --lockfile-only";
/// Versions of the format.
const VERSIONS: std::ops::RangeInclusive<u64> = 0..=2;
/// Packages in one lock.
const PACKAGES_MAX: usize = 5_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lock {
    lockfile_version: u64,
    workspaces: BTreeMap<String, Workspace>,
    #[serde(default)]
    patched_dependencies: BTreeMap<String, Value>,
    #[serde(default)]
    packages: BTreeMap<String, Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Workspace {
    #[serde(default)]
    dependencies: BTreeMap<String, String>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, String>,
}

/// Facts about a package besides its version.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Facts {
    dependencies: BTreeMap<String, String>,
    optional_dependencies: BTreeMap<String, String>,
    peer_dependencies: BTreeMap<String, String>,
    optional_peers: Vec<String>,
    os: Words,
    cpu: Words,
    libc: Words,
    /// Whether it is part of another package's archive.
    bundled: bool,
}

/// One word or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Several(Vec<String>),
}

/// Reads a lock.
pub(super) fn plan(text: &str, project: &Project) -> Result<Plan, Wrong> {
    let lock: Lock = serde_json::from_str(&plain_json(text)).map_err(|error| {
        Wrong::at(format!("line {}", error.line()), format!("is not what such a lock says: {error}"))
    })?;
    if !VERSIONS.contains(&lock.lockfile_version) {
        let why = format!(
            "is {}, and {VERSIONS:?} are read; create the lock file again with an earlier Bun",
            lock.lockfile_version
        );
        return Err(Wrong::at("lockfileVersion", why));
    }
    if let Some(patched) = lock.patched_dependencies.keys().next() {
        return Err(Wrong::patched(patched));
    }
    if let Some(other) = lock.workspaces.keys().find(|name| !name.is_empty()) {
        return Err(Wrong::local(other));
    }
    agrees(&lock, project)?;
    if lock.packages.len() > PACKAGES_MAX {
        return Err(Wrong::at("packages", format!("has more than {PACKAGES_MAX} packages; depend on less")));
    }
    let mut plan = Plan { root: root(project)?, places: BTreeMap::new() };
    let mut wanted: Vec<(&String, String, Facts)> = Vec::new();
    for (key, entry) in &lock.packages {
        let facts: Facts = entry.iter().find(|part| part.is_object()).map_or_else(
            || Ok(Facts::default()),
            |part| Facts::deserialize(part).map_err(|error| Wrong::at(key, format!("is not understood: {error}"))),
        )?;
        if facts.bundled {
            continue;
        }
        let path = path(key)?;
        let package = package(key, entry, &facts)?;
        plan.places.insert(path.clone(), Place { package, needs: Vec::new(), is_optional: false });
        wanted.push((key, path, facts));
    }
    for (key, path, facts) in wanted {
        let certain = facts.dependencies.keys().filter(|name| !facts.optional_dependencies.contains_key(*name));
        let mut lost = certain.filter(|name| plan.resolve(&path, name).is_none());
        if let Some(name) = lost.find(|name| !lock.packages.contains_key(&format!("{key}/{name}"))) {
            return Err(Wrong::missing(&format!("{key}/{name}"), MEND));
        }
        let needs = needs(&plan, &path, &facts);
        if let Some(place) = plan.places.get_mut(&path) {
            place.needs = needs;
        }
    }
    Ok(plan)
}

fn root(project: &Project) -> Result<Vec<(String, bool)>, Wrong> {
    Ok(project.wanted()?.into_iter().map(|one| (one.name.to_owned(), one.is_optional)).collect())
}

/// Whether the lock was made for this `package.json`.
fn agrees(lock: &Lock, project: &Project) -> Result<(), Wrong> {
    let locked = lock.workspaces.get("").ok_or_else(|| Wrong::missing("the project itself", MEND))?;
    let wanted = project.wanted()?;
    for one in &wanted {
        let group = if one.is_optional { &locked.optional_dependencies } else { &locked.dependencies };
        if group.get(one.name).is_none_or(|range| range != one.range) {
            return Err(Wrong::missing(&format!("{}@{}", one.name, one.range), MEND));
        }
    }
    let mut names = locked.dependencies.keys().chain(locked.optional_dependencies.keys());
    match names.find(|name| !wanted.iter().any(|one| one.name == *name)) {
        Some(name) => Err(Wrong::at(name, format!("is not in package.json; bring the lock up to date with: {MEND}"))),
        None => Ok(()),
    }
}

/// What a package imports, as far as it is there: optional peers may not be, and some lie in the package's own archive.
fn needs(plan: &Plan, path: &str, facts: &Facts) -> Vec<(String, bool)> {
    let certain = facts.dependencies.keys().map(|name| (name, false));
    let optional = facts.optional_dependencies.keys().map(|name| (name, true));
    let peers = facts.peer_dependencies.keys().map(|name| (name, facts.optional_peers.contains(name)));
    let mut needs: BTreeMap<&String, bool> = BTreeMap::new();
    for (name, is_optional) in peers.chain(certain).chain(optional) {
        needs.insert(name, is_optional);
    }
    let found = needs.into_iter().filter(|(name, _)| plan.resolve(path, name).is_some_and(|found| found != path));
    found.map(|(name, is_optional)| (name.clone(), is_optional)).collect()
}

/// `a/node_modules/@b/c` for `a/@b/c`.
fn path(key: &str) -> Result<String, Wrong> {
    let mut path = String::new();
    let mut scope: Option<&str> = None;
    for part in key.split('/') {
        let name = scope.take().map_or_else(|| part.to_owned(), |scope| format!("{scope}/{part}"));
        if part.starts_with('@') && !name.contains('/') {
            scope = Some(part);
            continue;
        }
        if !is_name(&name) {
            return Err(Wrong::at(key, "is no place of a package"));
        }
        path = below(&path, &name);
    }
    if scope.is_some() || path.is_empty() { Err(Wrong::at(key, "is no place of a package")) } else { Ok(path) }
}

/// `["a@1.0.0", registry or archive, facts, integrity]`.
fn package(key: &str, entry: &[Value], facts: &Facts) -> Result<Package, Wrong> {
    let text = |at: usize| entry.get(at).and_then(Value::as_str);
    let (name, version) = text(0).and_then(split).ok_or_else(|| Wrong::no_registry(key))?;
    if ["workspace:", "link:", "file:"].iter().any(|local| version.starts_with(local)) {
        return Err(Wrong::local(key));
    }
    let from = text(1).ok_or_else(|| Wrong::no_registry(key))?;
    let file = name.rsplit('/').next().unwrap_or(name);
    let archive = match from {
        "" => None,
        archive if archive.ends_with(".tgz") => Some(archive.to_owned()),
        registry => Some(format!("{}/{name}/-/{file}-{version}.tgz", registry.trim_end_matches('/'))),
    };
    let platform = Platform { os: facts.os.list(), cpu: facts.cpu.list(), libc: facts.libc.list(), is_unknown: false };
    let package = Package::new(key, name, version, archive.as_deref())?;
    Ok(Package { integrity: text(3).map(str::to_owned), platform, ..package })
}

/// Without commas before closing brackets.
fn plain_json(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let (mut in_text, mut is_escaped) = (false, false);
    for (at, c) in text.char_indices() {
        let is_last = || text[at + 1..].trim_start().starts_with(['}', ']']);
        if !in_text && c == ',' && is_last() {
            continue;
        }
        in_text ^= c == '"' && !is_escaped;
        is_escaped = in_text && c == '\\' && !is_escaped;
        plain.push(c);
    }
    plain
}

// === impl Words ===

impl Words {
    fn list(&self) -> Vec<String> {
        match self {
            Self::One(word) => vec![word.clone()],
            Self::Several(words) => words.clone(),
        }
    }
}

impl Default for Words {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_before_brackets_go() {
        assert_eq!(
            plain_json("{\"a\": [1, 2, ],\n \"b,]\\\",}\": {},\n}\n"),
            "{\"a\": [1, 2 ],\n \"b,]\\\",}\": {}\n}\n"
        );
    }

    #[test]
    fn keys_are_places() {
        assert_eq!(path("a/@b/c/d").as_deref(), Ok("a/node_modules/@b/c/node_modules/d"));
        for key in ["", "@b", "a/..", "a//b", "a/@b"] {
            assert!(path(key).is_err(), "{key}");
        }
    }
}
