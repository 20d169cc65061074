//! `pnpm-lock.yaml` of versions 6 and 9. Pure.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::graph::{Graph, Need, Package, Platform, Wrong, split};
use super::project::Project;
use super::yaml;

/// The command that updates the lock.
pub(super) const MEND: &str = "pnpm install --lockfile-only";
/// The project itself among the importers.
const SELF: &str = ".";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lock {
    lockfile_version: String,
    #[serde(default)]
    importers: BTreeMap<String, Importer>,
    /// Of a lock without importers.
    #[serde(default)]
    dependencies: BTreeMap<String, Direct>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, Direct>,
    #[serde(default)]
    overrides: BTreeMap<String, String>,
    #[serde(default)]
    patched_dependencies: BTreeMap<String, IgnoredAny>,
    #[serde(default)]
    packages: BTreeMap<String, Entry>,
    #[serde(default)]
    snapshots: BTreeMap<String, Snapshot>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Importer {
    dependencies: BTreeMap<String, Direct>,
    optional_dependencies: BTreeMap<String, Direct>,
}

#[derive(Deserialize)]
struct Direct {
    specifier: String,
    version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    resolution: Resolution,
    name: Option<String>,
    version: Option<String>,
    #[serde(default)]
    os: Vec<String>,
    #[serde(default)]
    cpu: Vec<String>,
    #[serde(default)]
    libc: Vec<String>,
    #[serde(default)]
    peer_dependencies: BTreeMap<String, IgnoredAny>,
    /// Of version 6, which has no snapshots.
    #[serde(default)]
    dependencies: BTreeMap<String, String>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Resolution {
    integrity: Option<String>,
    tarball: Option<String>,
    r#type: Option<String>,
    directory: Option<String>,
    repo: Option<String>,
}

/// A package among certain peers.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Snapshot {
    dependencies: BTreeMap<String, String>,
    optional_dependencies: BTreeMap<String, String>,
}

/// The packages on the way from the project downwards.
struct Reading<'a> {
    lock: &'a Lock,
    graph: Graph,
    known: HashMap<String, usize>,
    todo: Vec<(usize, String)>,
}

/// Reads a lock.
pub(super) fn graph(text: &str, project: &Project) -> Result<Graph, Wrong> {
    let mut lock: Lock = yaml::read(text)?;
    if !["6", "9"].contains(&lock.lockfile_version.split('.').next().unwrap_or_default()) {
        let why = format!(
            "is `{}`, and 6 and 9 are read; create the lock file again with pnpm 8 or later",
            lock.lockfile_version
        );
        return Err(Wrong::at("lockfileVersion", why));
    }
    if let Some(patched) = lock.patched_dependencies.keys().next() {
        return Err(Wrong::patched(patched));
    }
    if let Some(other) = lock.importers.keys().find(|name| *name != SELF) {
        return Err(Wrong::local(other));
    }
    let importer = lock.importers.remove(SELF).unwrap_or_else(|| Importer {
        dependencies: std::mem::take(&mut lock.dependencies),
        optional_dependencies: std::mem::take(&mut lock.optional_dependencies),
    });
    agrees(&lock, &importer, project)?;
    let mut reading = Reading { lock: &lock, graph: Graph::default(), known: HashMap::new(), todo: Vec::new() };
    for (group, is_optional) in [(&importer.dependencies, false), (&importer.optional_dependencies, true)] {
        for (name, direct) in group {
            let target = reading.target(name, &direct.version)?;
            reading.graph.root.push(Need { name: name.clone(), target, is_optional, is_peer: false });
        }
    }
    reading.read()
}

/// Whether the lock was made for this `package.json`.
fn agrees(lock: &Lock, importer: &Importer, project: &Project) -> Result<(), Wrong> {
    let overrides = project.texts(&["pnpm", "overrides"]);
    if let Some((name, _)) = overrides.iter().find(|(name, to)| lock.overrides.get(**name).is_none_or(|of| of != *to)) {
        return Err(Wrong::at(
            *name,
            format!("is overridden otherwise in package.json; bring the lock up to date with: {MEND}"),
        ));
    }
    let is_overridden =
        |name: &str| lock.overrides.keys().any(|of| split(of).map_or(of.as_str(), |(of, _)| of) == name);
    let wanted = project.wanted()?;
    for one in &wanted {
        let group = if one.is_optional { &importer.optional_dependencies } else { &importer.dependencies };
        let Some(direct) = group.get(one.name) else { return Err(Wrong::missing(one.name, MEND)) };
        if direct.specifier != one.range && !is_overridden(one.name) {
            let why = format!(
                "is locked for `{}`, and package.json asks for `{}`; bring the lock up to date with: {MEND}",
                direct.specifier, one.range
            );
            return Err(Wrong::at(one.name, why));
        }
    }
    let mut locked = importer.dependencies.keys().chain(importer.optional_dependencies.keys());
    match locked.find(|name| !wanted.iter().any(|one| one.name == *name)) {
        Some(name) => Err(Wrong::at(name, format!("is not in package.json; bring the lock up to date with: {MEND}"))),
        None => Ok(()),
    }
}

// === impl Reading ===

impl<'a> Reading<'a> {
    fn read(mut self) -> Result<Graph, Wrong> {
        while let Some((node, key)) = self.todo.pop() {
            let entry = self.entry(&key)?;
            let (needed, optional) = match self.lock.snapshots.get(&key) {
                Some(snapshot) => (&snapshot.dependencies, &snapshot.optional_dependencies),
                None => (&entry.dependencies, &entry.optional_dependencies),
            };
            for (group, is_optional) in [(needed, false), (optional, true)] {
                for (name, version) in group {
                    let target = self.target(name, version)?;
                    let is_peer = entry.peer_dependencies.contains_key(name);
                    self.graph.nodes[node].needs.push(Need { name: name.clone(), target, is_optional, is_peer });
                }
            }
        }
        Ok(self.graph)
    }

    /// The package that a name leads to; added on its first occurrence.
    fn target(&mut self, name: &str, version: &str) -> Result<usize, Wrong> {
        if ["link:", "file:", "workspace:"].iter().any(|local| version.contains(local)) {
            return Err(Wrong::local(name));
        }
        let keys = [format!("{name}@{version}"), format!("/{name}@{version}"), version.to_owned()];
        let Some(key) = keys.into_iter().find(|key| self.entry(key).is_ok()) else {
            return Err(Wrong::missing(&format!("{name}@{version}"), MEND));
        };
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let node = self.graph.add(package(&key, self.entry(&key)?)?)?;
        self.known.insert(key.clone(), node);
        self.todo.push((node, key));
        Ok(node)
    }

    fn entry(&self, key: &str) -> Result<&'a Entry, Wrong> {
        let packages = &self.lock.packages;
        packages.get(key).or_else(|| packages.get(plain(key))).ok_or_else(|| Wrong::missing(key, MEND))
    }
}

/// A key without the peers behind it.
fn plain(key: &str) -> &str {
    key.split('(').next().unwrap_or(key)
}

fn package(key: &str, entry: &Entry) -> Result<Package, Wrong> {
    let Resolution { integrity, tarball, r#type, directory, repo } = &entry.resolution;
    if directory.is_some() || r#type.as_deref() == Some("directory") {
        return Err(Wrong::local(key));
    }
    if repo.is_some() || r#type.is_some() {
        return Err(Wrong::no_registry(key));
    }
    if key.contains("(patch_hash=") {
        return Err(Wrong::patched(key));
    }
    let (name, version) = split(plain(key).trim_start_matches('/')).ok_or_else(|| Wrong::no_registry(key))?;
    let (name, version) = (entry.name.as_deref().unwrap_or(name), entry.version.as_deref().unwrap_or(version));
    let platform =
        Platform { os: entry.os.clone(), cpu: entry.cpu.clone(), libc: entry.libc.clone(), is_unknown: false };
    let package = Package::new(key, name, version, tarball.as_deref())?;
    Ok(Package { integrity: integrity.clone(), platform, ..package })
}
